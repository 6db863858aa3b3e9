/* What is counted of streams of tokens, of a whole run or one of its parts (see parts.h): counters and histograms by
 * name, as in figures.h. Only threads of a run of such streams have any.
 *
 * Memory: the caller allocates and frees: zeroed memory, then token_figures_init. Nothing here allocates.
 * Units: as the comments say; histograms of times take nanoseconds, those of tokens a thousand for each.
 * Threads: one thread counts; any thread may merge from it meanwhile.
 */
#ifndef AIBENCH_TOKENFIGURES_H
#define AIBENCH_TOKENFIGURES_H

#include <stdatomic.h>
#include <stdint.h>

#include "histogram.h"

/* Of measured successes, but for the last ones. */
#define TOKEN_COUNTER_LIST(X)                                                                                \
    X(output_tokens)     /* as the server counts them, or else chunks */                                    \
    X(input_tokens)      /* as the server counts them */                                                    \
    X(chunks)            /* events with content */                                                          \
    X(events)                                                                                               \
    X(event_reads)       /* receives that brought the end of an event */                                    \
    X(stamped_reads)     /* of those the ones with a stamp of the kernel */                                 \
    X(uncounted_streams) /* streams whose tokens the server did not count */                                \
    X(good_streams)      /* streams within all limits of their kind */                                      \
    X(failed_chunks)     /* of measured streams that failed */                                              \
    X(other_chunks)      /* of streams that are not measured, and of such that were abandoned */            \
    X(steady_millitokens)  /* thousandths of output tokens in the steady window; see steadywindow.h */       \
    X(steady_millistreams) /* the same of successes */                                                      \
    X(steady_milligood)    /* the same of successes within all limits */                                    \
    X(steady_stream_ns)    /* the time of all streams in the window */                                      \
    X(steady_worker_ns)    /* in a closed loop, the time of all workers in the window until their last stream ended */

/* Of measured successes. */
#define TOKEN_HISTOGRAM_LIST(X)                                                                              \
    X(first_events)      /* from a stream's start to its first event */                                     \
    X(first_events_due)  /* the same, from when it was due */                                               \
    X(first_tokens)      /* from its start to its first content */                                          \
    X(first_tokens_due)                                                                                     \
    X(first_answers)     /* from its start to its first content that is not reasoning */                    \
    X(first_answers_due)                                                                                    \
    X(token_times)       /* of each stream with several tokens: the time for each after the first */        \
    X(chunk_gaps)        /* between two chunks of a stream */                                               \
    X(output_lengths)    /* tokens of each answer */                                                        \
    X(input_lengths)     /* tokens of each prompt, if the server counts them */

#define TOKEN_COUNTER_MEMBER(name) _Atomic uint64_t name;
#define TOKEN_HISTOGRAM_MEMBER(name) struct histogram name;
#define TOKEN_COUNT_ONE(name) +1
#define NS_A_TOKEN 1000 /* histograms keep microseconds: one for each token */

enum {
    TOKEN_COUNTERS = TOKEN_COUNTER_LIST(TOKEN_COUNT_ONE),
    TOKEN_HISTOGRAMS = TOKEN_HISTOGRAM_LIST(TOKEN_COUNT_ONE)
};

/* The names in the order of the lists; they never change, for results keep some of them. */
extern const char *const token_counter_names[TOKEN_COUNTERS];
extern const char *const token_histogram_names[TOKEN_HISTOGRAMS];

union token_counters {
    struct { TOKEN_COUNTER_LIST(TOKEN_COUNTER_MEMBER) };
    _Atomic uint64_t all[TOKEN_COUNTERS];
};

union token_histograms {
    struct { TOKEN_HISTOGRAM_LIST(TOKEN_HISTOGRAM_MEMBER) };
    struct histogram all[TOKEN_HISTOGRAMS];
};

struct token_figures {
    union token_counters counters;
    union token_histograms histograms;
};

/* Make figures empty: zeroed memory, or figures that were used and belong to the caller's thread alone. */
void token_figures_init(struct token_figures *f);

/* Add `from` to `into`, which must belong to the caller's thread alone. */
void token_figures_merge(struct token_figures *into, const struct token_figures *from);

#endif
