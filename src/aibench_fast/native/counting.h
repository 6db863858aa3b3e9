/* What is counted of a request when it starts and when it ends, in the figures of its I/O thread.
 *
 * Memory: nothing here allocates. Units: nanoseconds of CLOCK_MONOTONIC.
 * Threads: the worker's I/O thread calls them.
 */
#ifndef AIBENCH_COUNTING_H
#define AIBENCH_COUNTING_H

#include "iothread.h"

/* A request by the schedule starts: is it measured, and how late is it? */
void count_started(struct iothread *t, struct worker *w, struct request *request);

/* A request was taken too late to be sent. */
void count_shed(struct iothread *t, const struct worker *w, const struct request *request);

/* The worker's oldest request ended just now, as its check says. */
void count_ended(struct iothread *t, struct worker *w, int64_t now_ns);

/* Keep how long the reply waited for this thread, if that is measured by now. */
void count_reply_wait(struct iothread *t, struct worker *w);

#endif
