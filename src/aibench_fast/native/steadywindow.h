/* The steady window of a run of streams of tokens: the time between its ramp and its drain, in which its load is whole.
 *
 * A closed loop's begins when the warm-up is over and every worker has ended its first stream. It ends when the first
 * worker finds no further request. An open loop's begins when the warm-up is over and a stream has ended. It ends with
 * the schedule, or with what ended the run before: requests that are due later do not belong to it.
 *
 * A stream counts by the share of its time that lies within the window, and so do its tokens: a window that cuts many
 * streams at once, as of a closed loop whose workers are in step, has as many tokens of each, whatever part of its
 * streams it cuts. Both ends are known by the time that a stream ends which they cut, so nothing is kept for later.
 *
 * In a closed loop, a worker's time counts up to the end of its last stream, and to its own end. So the time that rates
 * are divided by has the same streams as the tokens, also while the run goes on and after it was stopped.
 *
 * Memory: nothing here allocates. Units: nanoseconds of CLOCK_MONOTONIC.
 * Threads: each worker's I/O thread calls these functions; any thread may call steady_bounds.
 */
#ifndef AIBENCH_STEADYWINDOW_H
#define AIBENCH_STEADYWINDOW_H

#include <stdint.h>

struct run_state;
struct worker;

/* The part of a stream, and of its worker's time, that lies in the window. */
struct steady_part {
    double share;      /* of the stream's time, 0 to 1 */
    int64_t stream_ns; /* the same as a time */
    int64_t worker_ns; /* since the end of the worker's last stream; 0 in an open loop */
};

/* A worker's stream ended, whole or not. */
void steady_stream_ended(struct run_state *run, struct worker *w, int64_t started_ns, int64_t ended_ns,
                         struct steady_part *part);

/* A worker has no further request. Return how much of its time since its last stream lies in the window: it may have been
 * without a connection. */
uint64_t steady_worker_ended(struct run_state *run, const struct worker *w, int64_t now_ns);

/* Set when the window began, 0 before, and when it ended, which is now if it did not yet. */
void steady_bounds(struct run_state *run, int64_t now_ns, int64_t *from_ns, int64_t *until_ns);

#endif
