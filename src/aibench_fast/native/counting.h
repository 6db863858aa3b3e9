/* Counts each request in the figures of its I/O thread: when it starts, and when it ends.
 *
 * Memory: nothing here allocates. Units: nanoseconds of CLOCK_MONOTONIC.
 * Threads: the worker's I/O thread calls them; the last I/O thread to end calls count_left_over.
 */
#ifndef AIBENCH_COUNTING_H
#define AIBENCH_COUNTING_H

#include "runstate.h"

/* A request of an open loop starts: note whether it is measured, and count how late it is. */
void count_started(struct iothread *t, struct worker *w, struct request *request);

/* A request that was never sent fails, because there was no connection. */
void count_given_up(struct iothread *t, struct request *request);

/* A request is too late although its worker was free: this thread had no time for it. */
void count_woken_late(struct iothread *t, const struct request *request, int64_t now_ns);

/* A request is shed: it is too late to be sent. */
void count_shed(struct iothread *t, const struct worker *w, const struct request *request);

/* A request was due, and the run was over before it could be sent. */
void count_unsent(struct iothread *t, const struct arrival *arrival);

/* All workers ended: count what was due before the run was over, and which none of them took. */
void count_left_over(struct iothread *t);

/* Count how long the reply waited for this thread, in the measured part. */
void count_reply_wait(struct iothread *t, struct worker *w);

/* Find the places of the parts that the request belongs to (see parts.h); return their number. */
static inline int count_places(const struct iothread *t, const struct worker *w, const struct request *request,
                               uint32_t places[DIMENSIONS])
{
    const uint32_t numbers[DIMENSIONS] = {
        [DIMENSION_KIND] = (uint32_t)(request->kind - w->kinds),
        [DIMENSION_SERVER] = w->server,
        [DIMENSION_STEP] = request->arrival.step, /* SCHEDULE_NO_STEP is above any count */
    };
    int count = 0;
    for (int dimension = 0; dimension < DIMENSIONS; dimension++) {
        uint32_t place = parts_place(&t->run->parts, (enum dimension)dimension, numbers[dimension]);
        if (place != PARTS_NONE)
            places[count++] = place;
    }
    return count;
}

/* The worker's connection was made at `now_ns`. */
void count_connected(struct iothread *t, const struct worker *w, int64_t now_ns);

/* Count the outcome in each part that the request belongs to. */
void count_in_parts(struct iothread *t, const struct worker *w, const struct request *request,
                    const struct outcome *outcome);

/* The thread's first measured request ended: its CPU time and its wait for a CPU count from now on. */
void count_cpu_from_here(struct iothread *t);

/* Count a request that ended before the measuring. */
void count_in_burn_in(struct iothread *t, const struct outcome *outcome);

/* Return whether the request that ended at `now_ns` is measured. In an open loop that was settled when it started. In
 * a closed loop the warm-up ends when enough requests have ended, so it is settled here. */
static inline bool settle_measured(struct run_state *run, const struct request *request, int64_t now_ns)
{
    uint64_t order = atomic_fetch_add_explicit(&run->completions, 1, memory_order_relaxed);
    if (schedule_is_open(&run->schedule))
        return request->measured;
    uint64_t burn_in = atomic_load_explicit(&run->burn_in_requests, memory_order_relaxed);
    if (order + 1 == burn_in)
        atomic_store_explicit(&run->measured_from_ns, now_ns, memory_order_relaxed);
    return order >= burn_in;
}

/* The worker's oldest request ended, as its check says. Inline, because every request comes here. */
static inline void count_ended(struct iothread *t, struct worker *w, int64_t now_ns)
{
    struct run_state *run = t->run;
    const struct request *request = oldest(w);
    const struct outcome outcome = {
        .failure = w->check.kind,
        .message = w->check.message,
        .batch = request->kind->batch,
        .due_ns = request->arrival.due_ns,
        .started_ns = request->started_ns,
        .ended_ns = now_ns,
        .late = w->late,
    };
    counter_bump(&t->counted.counters.requests);
    if (outcome.failure == FAILURE_NONE)
        counter_add(&t->counted.counters.answered_tensors, outcome.batch);
    if (!settle_measured(run, request, now_ns)) {
        count_in_burn_in(t, &outcome);
        return;
    }
    if (atomic_load_explicit(&t->cpu_from_ns, memory_order_relaxed) == 0)
        count_cpu_from_here(t);
    atomic_store_explicit(&t->last_completed_ns, now_ns, memory_order_relaxed);
    w->measured++;
    figures_record(&t->counted.measured, &outcome);
    if (t->parts != NULL)
        count_in_parts(t, w, request, &outcome);
}

#endif
