/* What is counted of the measured requests of one thread: of all of them, or of a part, such as one
 * kind of a mix or one step of a profile. The figures of parts add up to those of the whole.
 *
 * Memory: the caller allocates and frees; zeroed memory, then figures_init. Nothing here allocates.
 * Units: nanoseconds. Threads: one thread records; any thread may merge from it meanwhile.
 */
#ifndef AIBENCH_FIGURES_H
#define AIBENCH_FIGURES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "failures.h"
#include "histogram.h"

struct figures {
    _Atomic uint64_t successes;
    _Atomic uint64_t inferences; /* tensors in them: a request carries a batch */
    _Atomic uint64_t late_starts; /* requests that were due before a worker was free */
    _Atomic uint64_t shed;        /* due ones that were never sent, for they were too late already */
    _Atomic uint64_t unsent;      /* due ones that a thread took, and had not sent when the run was over */
    struct failures failures;
    struct histogram latencies; /* of successes that started when they were meant to */
    struct histogram response_latencies; /* of those that were meant to start at a time of their own, from that */
    struct histogram service_latencies;  /* of the same, from their actual start */
};

/* A request that ended. */
struct outcome {
    enum failure_kind failure;
    const char *message; /* of a failure */
    uint64_t batch;
    int64_t due_ns;      /* when it was meant to start; 0: when it did */
    int64_t started_ns;
    int64_t ended_ns;
    bool late; /* due before a worker was free */
};

static inline void figures_add(_Atomic uint64_t *counter, uint64_t n)
{
    /* The owner is the only writer, so that no locked instruction is needed. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void figures_bump(_Atomic uint64_t *counter)
{
    figures_add(counter, 1);
}

/* Make zeroed memory into empty figures. */
void figures_init(struct figures *f);

/* Inline, for it is in the way of every request. */
static inline void figures_record(struct figures *f, const struct outcome *outcome)
{
    if (outcome->late)
        figures_bump(&f->late_starts);
    if (outcome->failure != FAILURE_NONE) {
        failures_record(&f->failures, outcome->failure, outcome->message, outcome->ended_ns);
        return;
    }
    int64_t service_ns = outcome->ended_ns - outcome->started_ns;
    if (outcome->due_ns == 0) {
        histogram_record(&f->latencies, service_ns);
    } else {
        histogram_record(&f->response_latencies, outcome->ended_ns - outcome->due_ns);
        histogram_record(&f->service_latencies, service_ns);
    }
    figures_bump(&f->successes);
    figures_add(&f->inferences, outcome->batch);
}

/* Add what `from` holds into `into`, the caller's own. */
void figures_merge(struct figures *into, const struct figures *from);

/* Once all are merged: have `latencies` be those of all successes from the intended start, and
 * `service_latencies` of all from the actual one. */
void figures_complete(struct figures *f);

/* Whether some success was meant to start before it did. */
static inline bool figures_have_service(const struct figures *f)
{
    return atomic_load_explicit(&f->response_latencies.max_us, memory_order_relaxed) > 0;
}

#endif
