/* A worker's connection: the first one before the run, and a new one for each that is lost. A connection is ready
 * when the transport is ready and the server has accepted the greeting. A failed attempt is repeated after a rest;
 * until one succeeds, the server has an outage.
 *
 * This file and requests.h are one state machine. requests.h has its table: which phase a worker is in, who enters
 * and handles it, and who calls whom.
 *
 * Memory: a connection allocates and frees its own. Units: nanoseconds of CLOCK_MONOTONIC.
 * Threads: the worker's I/O thread calls them; before it starts, loadgen_create calls worker_connect_first.
 */
#ifndef AIBENCH_CONNECTING_H
#define AIBENCH_CONNECTING_H

#include "runstate.h"

/* Connect and greet before the run starts; this waits. Return 0, or -1 with the reason in `errstr`. */
int worker_connect_first(struct iothread *t, struct worker *w, errstr_t errstr);

/* Begin to connect for the request that the worker has. */
void worker_connect(struct iothread *t, struct worker *w);

/* The socket of a worker in WORKER_CONNECTING had an event. */
void worker_connected(struct iothread *t, struct worker *w);

/* Something came on the connection of a worker in WORKER_GREETING. */
void worker_greeted(struct iothread *t, struct worker *w);

/* No connection could be made, for the reason in the check. The worker tries again until reconnect_for_ns is over.
 * A request that was not sent waits; one that was sent before has failed with its connection. */
void connect_failed(struct iothread *t, struct worker *w);

/* Let the worker rest until `until_ns`. */
void worker_rest(struct iothread *t, struct worker *w, int64_t until_ns);

/* The rest is over: the worker connects again, or ends with the run. */
void worker_rested(struct iothread *t, struct worker *w);

/* Return whether the run is over for a worker without a connection, none of whose requests was sent. */
bool ends_unsent(struct iothread *t, const struct worker *w);

#endif
