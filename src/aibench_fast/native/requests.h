/* How a worker's requests are taken from the schedule, sent, answered and ended. Whatever is done with a
 * worker leaves it with its next request under way, waiting for it to be due or for a connection, or ended.
 *
 * Memory: nothing here allocates. Threads: the worker's I/O thread calls them, but run_stop.
 */
#ifndef AIBENCH_REQUESTS_H
#define AIBENCH_REQUESTS_H

#include "iothread.h"

/* Stop the run: its threads end within a tenth of a second. Any thread may call it. */
void run_stop(struct run_state *run);

/* Whether no more requests may be started. */
bool run_is_over(struct run_state *run);

/* Give the worker, which has no request, its next, at once or when it is due, or end it. */
void worker_next(struct iothread *t, struct worker *w);

/* Start the worker's request, on a new connection where the old one was lost. */
void worker_begin(struct iothread *t, struct worker *w);

/* The request that was taken goes out on the connection, which has no other, and more behind it. */
void worker_start(struct iothread *t, struct worker *w);

/* Send what is queued and, once all of it went, what more there may be. */
void worker_send(struct iothread *t, struct worker *w);

/* Something came on the connection, or its end. */
void worker_receive(struct iothread *t, struct worker *w);

/* The oldest request failed, as its check says, and its connection with it, and with that the
 * others that were outstanding on it. */
void worker_lost(struct iothread *t, struct worker *w);

/* The oldest request ended, as its check says. */
void request_done(struct iothread *t, struct worker *w);

/* The same, and those that are outstanding behind it failed with it. */
void requests_lost(struct iothread *t, struct worker *w);

/* Drop a request that was taken where it is due by the schedule and later than may be: it is shed, or the
 * run ends with it, and the worker has it no more. Returns whether it was. */
bool drop_too_late(struct iothread *t, struct worker *w, const struct request *request);

/* The run is over, and the worker's request was not sent; was it due? */
void note_unsent(struct iothread *t, struct worker *w);

/* The same, and the worker ends. */
void worker_end_unsent(struct iothread *t, struct worker *w);

void worker_end(struct iothread *t, struct worker *w);

#endif
