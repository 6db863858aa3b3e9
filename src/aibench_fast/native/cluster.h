/* A Redis Cluster keeps keys in slots, which move from node to node. With MOVED or ASK a node names the node that
 * has a request's keys, and the request follows. All keys of a worker are in one slot, so the worker is connected
 * to the node of that slot.
 *
 * If this node is gone, any other may know which node took over its slots. The worker tries them in turn, with a
 * greeting whose last command is for its slot, until one accepts it.
 *
 * Memory: what the config points to is borrowed and must outlive the load generator.
 * Threads: the config is read-only and shared. The worker's I/O thread calls the functions; loadgen_create does
 * before that thread starts.
 */
#ifndef AIBENCH_CLUSTER_H
#define AIBENCH_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "kind.h"
#include "transport.h"

#define REDIRECTS_MAX 16 /* of one request */

struct iothread;
struct worker;

struct cluster_node {
    const char *name; /* its host, as nodes write it in MOVED and ASK */
    struct endpoint endpoint;
};

struct cluster {
    const struct cluster_node *nodes; /* known before the run; at least one */
    uint32_t node_count;
    /* The kinds of request, and the greeting of each server, with an ASKING before each command. */
    const struct request_kind *asking_kinds;
    const struct greeting *asking_greetings;
};

/* Return whether the failure in the check is a MOVED or ASK that can be followed. If so, the worker's connection is
 * closed, and the caller connects it again: to the node that was named, for the requests that it has. After too many
 * redirects, or for a node whose address is unknown, the check says so and the result is false. */
bool cluster_redirected(struct iothread *t, struct worker *w);

/* The worker's node cannot be reached: let the next connection go to another one. */
void cluster_ask_another(struct iothread *t, struct worker *w);

#endif
