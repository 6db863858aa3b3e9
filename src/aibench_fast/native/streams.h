/* A worker's requests in a protocol whose requests are streams of their connection: several may be under way, and they
 * are answered in any order.
 *
 * It is a part of the state machine of requests.h, which has its table: worker_start enters WORKER_STREAMING. Each
 * request in the worker's ring has a slot of the connection, or none until it is sent again. One that is answered comes
 * to the front of the ring, so that request_done ends it. A request that the server did not process is sent again, on
 * a new connection if it announced that it closes the old one; the start of its latency stays the first one.
 *
 * Memory: nothing here allocates. Units: nanoseconds of CLOCK_MONOTONIC.
 * Threads: the worker's I/O thread alone calls them.
 */
#ifndef AIBENCH_STREAMS_H
#define AIBENCH_STREAMS_H

#include "runstate.h"

/* Send the worker's request on its connection, which has no other outstanding, and more requests behind it; or those
 * that are sent again. */
void streams_start(struct iothread *t, struct worker *w);

/* The socket of a worker in WORKER_STREAMING had an event; `readable`: something may have come. */
void streams_event(struct iothread *t, struct worker *w, bool readable);

/* The same for a worker that has no request on its connection: answer what the server asks, such as whether this end
 * is alive. */
void streams_idle(struct iothread *t, struct worker *w);

/* End the requests that are overdue, each by itself. */
void streams_expire(struct iothread *t, struct worker *w, int64_t now_ns);

/* The run ends while the worker is in WORKER_STREAMING: count what came of a stream of tokens. */
void streams_abandoned(struct iothread *t, const struct worker *w);

#endif
