#include "figures.h"

static void add(_Atomic uint64_t *into, const _Atomic uint64_t *from)
{
    atomic_store_explicit(into,
                          atomic_load_explicit(into, memory_order_relaxed) +
                              atomic_load_explicit(from, memory_order_relaxed),
                          memory_order_relaxed);
}

void figures_init(struct figures *f)
{
    histogram_init(&f->latencies);
    histogram_init(&f->service_latencies);
}

void figures_merge(struct figures *into, const struct figures *from, bool scheduled)
{
    add(&into->successes, &from->successes);
    add(&into->late_starts, &from->late_starts);
    add(&into->shed, &from->shed);
    failures_merge(&into->failures, &from->failures);
    histogram_merge(&into->latencies, &from->latencies);
    if (scheduled)
        histogram_merge(&into->service_latencies, &from->service_latencies);
}
