#include "histogram.h"

#include <string.h>

#include "clock.h"

/* Only the owner writes, so a relaxed load and store increments without a locked instruction. */
static inline void add(_Atomic int64_t *counter, int64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void lower(_Atomic int64_t *least, int64_t value)
{
    if (value < atomic_load_explicit(least, memory_order_relaxed))
        atomic_store_explicit(least, value, memory_order_relaxed);
}

static inline void raise(_Atomic int64_t *greatest, int64_t value)
{
    if (value > atomic_load_explicit(greatest, memory_order_relaxed))
        atomic_store_explicit(greatest, value, memory_order_relaxed);
}

/* HdrHistogram's index: the bucket is the position of the highest bit above the sub-bucket mask,
 * the offset is the value's leading bits. */
static inline int counts_index(int64_t value_us)
{
    uint64_t mask = 2 * HISTOGRAM_HALF_COUNT - 1;
    int bucket = 63 - HISTOGRAM_HALF_MAGNITUDE - __builtin_clzll((uint64_t)value_us | mask);
    int sub_bucket = (int)(value_us >> bucket);
    return (bucket << HISTOGRAM_HALF_MAGNITUDE) + sub_bucket;
}

void histogram_init(struct histogram *h)
{
    if (!histogram_is_empty(h))
        memset(h, 0, sizeof *h);
    atomic_init(&h->min_us, INT64_MAX);
}

void histogram_record(struct histogram *h, int64_t latency_ns)
{
    int64_t value_us = (latency_ns + NS_PER_US / 2) / NS_PER_US;
    if (value_us < 1)
        value_us = 1;
    if (value_us > HISTOGRAM_MAX_US) {
        value_us = HISTOGRAM_MAX_US;
        add(&h->saturated, 1);
    }
    add(&h->counts[counts_index(value_us)], 1);
    lower(&h->min_us, value_us);
    raise(&h->max_us, value_us);
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (histogram_is_empty(from))
        return;
    for (int i = 0; i < HISTOGRAM_COUNTS; i++) {
        int64_t count = atomic_load_explicit(&from->counts[i], memory_order_relaxed);
        if (count)
            add(&into->counts[i], count);
    }
    lower(&into->min_us, atomic_load_explicit(&from->min_us, memory_order_relaxed));
    raise(&into->max_us, atomic_load_explicit(&from->max_us, memory_order_relaxed));
    add(&into->saturated, atomic_load_explicit(&from->saturated, memory_order_relaxed));
}
