/* What a run counts: counters and histograms by name, and failures by kind.
 *
 * `figures` belong to the measured requests of a thread, all of them or one part (see parts.h), or to its warm-up.
 * The parts of a dimension add up to the whole. `counted` is everything that one thread counts.
 *
 * Each counter and each histogram is named once, in a list below. Sums go through them by place, and _core gives them
 * to Python by name; nothing in between knows any of them. A new one needs its line in a list, the place that counts,
 * and the field of the result that shows it.
 *
 * Memory: the caller allocates and frees: zeroed memory, then an init function. Nothing here allocates. Pages of
 * histograms without a count stay untouched.
 * Units: a counter's are in its comment; histograms take nanoseconds.
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
    X(latencies)         /* from the intended start; before figures_complete only of requests on time */     \
    X(service_latencies) /* from the actual start; before figures_complete only of the other requests */

/* Of the whole run, warm-up included. They are read in this order: `begun` comes last, so that a sum never has more
 * requests that ended than requests that began. */
#define RUN_COUNTER_LIST(X)                                                                                  \
    X(requests)         /* requests that ended, with success or failure */                                    \
    X(answered_tensors) /* in the successes among them */                                                    \
    X(reconnects)       /* connections made after the server closed one between requests */                  \
    X(remade)           /* connections made after one was lost */                                            \
    X(resent)           /* requests sent again: the server closed the connection before it had them */       \
    X(moved)            /* redirects of a cluster that were followed, MOVED */                               \
    X(asked)            /* the same, ASK */                                                                  \
    X(replies)          /* of measured successes that may have several; native/grpcstream.h */               \
    X(abandoned)        /* requests under way when the run was stopped; counted at the thread's end */       \
    X(chunks_so_far)    /* of all streams of tokens, counted as they come */                                  \
    X(begun)            /* requests handed to a connection, or given up for want of one */

/* Of the measured part of the run. */
#define RUN_HISTOGRAM_LIST(X)                                                                                \
    X(start_lags)    /* of each request by a schedule: actual less intended start */                         \
    X(timer_lags)    /* the same, only of requests whose worker was free: the client's own lag */             \
    X(reply_waits)   /* from a reply's arrival in the kernel until its thread read it; a sample of them */    \
    X(connect_times) /* of each connection, with TLS and log-in */                                           \
    X(window_waits)  /* of each success over HTTP/2: for the server to open its flow-control windows */      \
    X(first_replies) /* of each success that may have several replies: its first one's latency */

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
    struct histogram response_latencies; /* from the intended start, of successes that had one of their own;
                                          * figures_complete adds them to `latencies` */
};

struct counted {
    union run_counters counters;
    union run_histograms histograms;
    struct figures measured;
    struct figures burn_in; /* of requests that ended before the measuring */
};

/* A request that ended. */
struct outcome {
    enum failure_kind failure;
    const char *message; /* of a failure */
    uint64_t batch;
    int64_t due_ns;      /* the intended start; 0: the actual one */
    int64_t started_ns;
    int64_t ended_ns;
    bool late; /* due before a worker was free */
};

static inline void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    /* Only the owner writes, so no locked instruction is needed. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void counter_bump(_Atomic uint64_t *counter)
{
    counter_add(counter, 1);
}

/* Add counters to others, which must belong to the caller's thread alone; they are read in order. */
void counters_merge(_Atomic uint64_t *into, const _Atomic uint64_t *from, int count);

/* The same for histograms, and make them empty, as histogram.h says. */
void histograms_merge(struct histogram *into, const struct histogram *from, int count);
void histograms_init(struct histogram *histograms, int count);

/* Make figures empty: zeroed memory, or figures that were used and belong to the caller's thread alone. */
void figures_init(struct figures *f);

/* Count a request that ended. Inline, because every request comes here. */
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

/* Add `from` to `into`, which must belong to the caller's thread alone. */
void figures_merge(struct figures *into, const struct figures *from);

/* After the last merge, before anything is read: bring all successes into `latencies` and `service_latencies`. */
void figures_complete(struct figures *f);

/* Return whether a success had an intended start of its own. */
static inline bool figures_have_service(const struct figures *f)
{
    return !histogram_is_empty(&f->response_latencies);
}

/* The same for everything that is counted. */
void counted_init(struct counted *c);
void counted_merge(struct counted *into, const struct counted *from);
void counted_complete(struct counted *c);

#endif
