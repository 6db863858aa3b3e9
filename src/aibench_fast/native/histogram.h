/* A latency histogram in HdrHistogram's bucket layout: 1 microsecond to 1 hour, 3 significant
 * digits. The array of counts is that of HdrHistogram(1, 3600000000, 3).
 *
 * Memory: the struct holds everything; the caller allocates it (zeroed, and then
 * histogram_init) and frees it. Nothing here allocates. Pages without a count stay untouched.
 * Units: values go in as nanoseconds and are kept as whole microseconds, rounded to nearest.
 * Threads: one thread records; any thread may merge from it meanwhile and sees each count either
 * before or after a record, never torn.
 */
#ifndef AIBENCH_HISTOGRAM_H
#define AIBENCH_HISTOGRAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HISTOGRAM_MAX_US INT64_C(3600000000)
/* 2 * 10^3 distinct values need a sub-bucket count of 2048; 22 buckets of 1024 reach an hour, and
 * the first one has a lower half of its own. */
#define HISTOGRAM_HALF_MAGNITUDE 10
#define HISTOGRAM_HALF_COUNT (1 << HISTOGRAM_HALF_MAGNITUDE)
#define HISTOGRAM_COUNTS 23552

struct histogram {
    _Atomic int64_t counts[HISTOGRAM_COUNTS];
    _Atomic int64_t min_us;    /* INT64_MAX while empty */
    _Atomic int64_t max_us;    /* 0 while empty */
    _Atomic int64_t saturated; /* values above HISTOGRAM_MAX_US, which are counted at it */
};

/* Make a histogram empty: zeroed memory, or one that was used and belongs to the caller's thread alone. */
void histogram_init(struct histogram *h);

/* Count one latency. Below 0.5 us it counts as 1 us; above an hour as an hour, and as saturated. */
void histogram_record(struct histogram *h, int64_t latency_ns);

static inline bool histogram_is_empty(const struct histogram *h)
{
    return atomic_load_explicit(&h->max_us, memory_order_relaxed) == 0;
}

/* Add `from` to `into`, which must belong to the caller's thread alone. An empty `from` costs nothing. */
void histogram_merge(struct histogram *into, const struct histogram *from);

#endif
