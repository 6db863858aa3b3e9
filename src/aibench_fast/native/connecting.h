/* How a worker gets its connection: the first one before the run, and others for those that are lost. A
 * connection is made when the transport is ready and the server has taken the greeting; what cannot be
 * made is tried again after a rest, and is an outage.
 *
 * Memory: a connection's own. Threads: the worker's I/O thread calls them, and before it is started
 * loadgen_create.
 */
#ifndef AIBENCH_CONNECTING_H
#define AIBENCH_CONNECTING_H

#include "iothread.h"

/* Connect and greet before the clock starts, where waiting harms nobody. Returns 0, or -1 with the reason
 * in `errstr`. */
int worker_connect_first(struct iothread *t, struct worker *w, errstr_t errstr);

/* Begin to connect for the request that the worker has. */
void worker_connect(struct iothread *t, struct worker *w);

/* Something happened on the socket of a worker that connects. */
void worker_connected(struct iothread *t, struct worker *w);

/* Something came on the connection of one that greets. */
void worker_greeted(struct iothread *t, struct worker *w);

/* No connection could be made, as the check says: the worker tries again, until it has for too long. The
 * request that it has waits, but one that was sent before was cut. */
void connect_failed(struct iothread *t, struct worker *w);

/* Have the worker do nothing until then. */
void worker_rest(struct iothread *t, struct worker *w, int64_t until_ns);

/* It rested: it connects again, or ends with the run. */
void worker_rested(struct iothread *t, struct worker *w);

/* Whether a worker that has no connection yet has none to wait for: nothing of its request went out. */
bool ends_unsent(struct iothread *t, const struct worker *w);

#endif
