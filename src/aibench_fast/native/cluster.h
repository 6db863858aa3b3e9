/* A cluster of servers whose keys lie in slots, which go from one node to another: by MOVED or ASK a node
 * says which other one has a request's keys, and the request goes there. A worker's keys are all in one
 * slot, so that its connection is to the node that has it.
 *
 * Where that node is gone, any other may know who took its slots over: they are asked one after another,
 * each by a greeting of which the last command is for the slot, until one takes it.
 *
 * Memory: what the config points to is borrowed and must outlive the load generator.
 * Threads: the config is read-only and shared; the functions are for the worker's I/O thread.
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
    const char *name; /* the host as nodes name it in MOVED and ASK */
    struct endpoint endpoint;
};

struct cluster {
    const struct cluster_node *nodes; /* that were known before the run; at least one */
    uint32_t node_count;
    /* The kinds of request, and each server's greeting, with an ASKING before every command. */
    const struct request_kind *asking_kinds;
    const struct greeting *asking_greetings;
};

/* Whether the check's failure is a MOVED or ASK that can be followed: the worker's connection is closed
 * then, and the next one is to be made to the node that was named, for the requests that it has. Of one
 * that was redirected too often, or to where nobody can go, the check says so. */
bool cluster_redirected(struct iothread *t, struct worker *w);

/* The worker's node cannot be reached: the next connection is to be made to another one. */
void cluster_ask_another(struct iothread *t, struct worker *w);

#endif
