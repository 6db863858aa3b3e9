/* What is counted: counters and histograms by name, and failures by kind.
 *
 * `figures` are of the measured requests of one thread, of all of them or of a part (see parts.h); the figures of
 * the parts of a dimension add up to those of the whole. `counted` is all that one thread counts.
 *
 * A counter or a histogram is named once, in a list below. Whoever adds up goes through them by their place, and
 * _core hands them to Python by their names: nothing in between has to know one. A new one needs its line in the
 * list, the place that counts, and the field of the result that shows it.
 *
 * Memory: the caller allocates and frees; zeroed memory, then an init function. Nothing here allocates.
 * Units: counters count what their comment says; histograms take nanoseconds.
 * Threads: one thread counts; any thread may merge from it meanwhile.
 */
#ifndef AIBENCH_FIGURES_H
#define AIBENCH_FIGURES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "failures.h"
#include "histogram.h"

/* Of measured requests. */
#define FIGURE_COUNTER_LIST(X)                                                                               \
    X(successes)                                                                                             \
    X(inferences)  /* tensors in the successes: a request carries a batch */                                 \
    X(late_starts) /* requests that were due before a worker was free */                                     \
    X(shed)        /* due requests that were not sent, because they were too late already */                 \
    X(unsent)      /* due requests that were not sent when the run was over; of a step or of the whole */

/* Of measured requests that succeeded. */
#define FIGURE_HISTOGRAM_LIST(X)                                                                             \
    X(latencies)         /* until figures_complete of those alone that started when they were meant to */    \
    X(service_latencies) /* until then of the others alone, from their actual start */

/* Of the whole run, the burn-in included. They are added up in this order: `begun` is the last, so that no
 * request has ended that had not begun. */
#define RUN_COUNTER_LIST(X)                                                                                  \
    X(requests)         /* requests that ended in any way; shed ones did not begin */                        \
    X(answered_tensors) /* in the successes among them */                                                    \
    X(reconnects)       /* connections made after the server closed one between requests */                  \
    X(remade)           /* connections made after one was lost */                                            \
    X(resent)           /* requests sent again: the server closed the connection before it had them */       \
    X(moved)            /* redirects of a cluster that were followed, MOVED */                               \
    X(asked)            /* the same, ASK */                                                                  \
    X(abandoned)        /* requests under way when the run was stopped; counted at the thread's end */       \
    X(begun)            /* requests handed to a connection, or given up for want of one */

/* Of the measured part of the run. */
#define RUN_HISTOGRAM_LIST(X)                                                                                \
    X(start_lags)    /* of each request by a schedule: actual less intended start */                         \
    X(timer_lags)    /* the same of those that a free worker waited for: the client's own lag */             \
    X(reply_waits)   /* from a reply's arrival in the kernel until its thread read it; of a sample */         \
    X(connect_times) /* of connections made, with TLS and log-in */

#define COUNTER_MEMBER(name) _Atomic uint64_t name;
#define HISTOGRAM_MEMBER(name) struct histogram name;
#define COUNT_ONE(name) +1

enum {
    FIGURE_COUNTERS = FIGURE_COUNTER_LIST(COUNT_ONE),
    FIGURE_HISTOGRAMS = FIGURE_HISTOGRAM_LIST(COUNT_ONE),
    RUN_COUNTERS = RUN_COUNTER_LIST(COUNT_ONE),
    RUN_HISTOGRAMS = RUN_HISTOGRAM_LIST(COUNT_ONE)
};

/* The names in the order of the lists; they never change, for results keep some of them. */
extern const char *const figure_counter_names[FIGURE_COUNTERS];
extern const char *const figure_histogram_names[FIGURE_HISTOGRAMS];
extern const char *const run_counter_names[RUN_COUNTERS];
extern const char *const run_histogram_names[RUN_HISTOGRAMS];

union figure_counters {
    struct { FIGURE_COUNTER_LIST(COUNTER_MEMBER) };
    _Atomic uint64_t all[FIGURE_COUNTERS];
};

union figure_histograms {
    struct { FIGURE_HISTOGRAM_LIST(HISTOGRAM_MEMBER) };
    struct histogram all[FIGURE_HISTOGRAMS];
};

union run_counters {
    struct { RUN_COUNTER_LIST(COUNTER_MEMBER) };
    _Atomic uint64_t all[RUN_COUNTERS];
};

union run_histograms {
    struct { RUN_HISTOGRAM_LIST(HISTOGRAM_MEMBER) };
    struct histogram all[RUN_HISTOGRAMS];
};

struct figures {
    union figure_counters counters;
    struct failures failures;
    union figure_histograms histograms;
    struct histogram response_latencies; /* of successes that were meant to start at a time of their own, from then
                                          * on; figures_complete adds them to `latencies` */
};

struct counted {
    union run_counters counters;
    union run_histograms histograms;
    struct figures measured;
    struct figures burn_in; /* of the requests that ended before the measuring */
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

static inline void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    /* The owner is the only writer, so that no locked instruction is needed. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void counter_bump(_Atomic uint64_t *counter)
{
    counter_add(counter, 1);
}

/* Make zeroed memory into empty figures. */
void figures_init(struct figures *f);

/* Inline, for it is in the way of every request. */
static inline void figures_record(struct figures *f, const struct outcome *outcome)
{
    if (outcome->late)
        counter_bump(&f->counters.late_starts);
    if (outcome->failure != FAILURE_NONE) {
        failures_record(&f->failures, outcome->failure, outcome->message, outcome->ended_ns);
        return;
    }
    int64_t service_ns = outcome->ended_ns - outcome->started_ns;
    if (outcome->due_ns == 0) {
        histogram_record(&f->histograms.latencies, service_ns);
    } else {
        histogram_record(&f->response_latencies, outcome->ended_ns - outcome->due_ns);
        histogram_record(&f->histograms.service_latencies, service_ns);
    }
    counter_bump(&f->counters.successes);
    counter_add(&f->counters.inferences, outcome->batch);
}

/* Add what `from` holds into `into`, the caller's own. */
void figures_merge(struct figures *into, const struct figures *from);

/* Once all are merged: have `latencies` be those of all successes from the intended start, and
 * `service_latencies` of all from the actual one. */
void figures_complete(struct figures *f);

/* Whether some success was meant to start before it did. */
static inline bool figures_have_service(const struct figures *f)
{
    return !histogram_is_empty(&f->response_latencies);
}

/* As those of figures. */
void counted_init(struct counted *c);
void counted_merge(struct counted *into, const struct counted *from);
void counted_complete(struct counted *c);

#endif
