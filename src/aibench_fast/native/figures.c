#include "figures.h"

static void merge(_Atomic uint64_t *into, const _Atomic uint64_t *from)
{
    figures_add(into, atomic_load_explicit(from, memory_order_relaxed));
}

void figures_init(struct figures *f)
{
    histogram_init(&f->latencies);
    histogram_init(&f->response_latencies);
    histogram_init(&f->service_latencies);
}

void figures_merge(struct figures *into, const struct figures *from)
{
    merge(&into->successes, &from->successes);
    merge(&into->inferences, &from->inferences);
    merge(&into->late_starts, &from->late_starts);
    merge(&into->shed, &from->shed);
    merge(&into->unsent, &from->unsent);
    failures_merge(&into->failures, &from->failures);
    histogram_merge(&into->latencies, &from->latencies);
    if (figures_have_service(from)) {
        histogram_merge(&into->response_latencies, &from->response_latencies);
        histogram_merge(&into->service_latencies, &from->service_latencies);
    }
}

void figures_complete(struct figures *f)
{
    if (figures_have_service(f)) {
        histogram_merge(&f->service_latencies, &f->latencies);
        histogram_merge(&f->latencies, &f->response_latencies);
    }
}
