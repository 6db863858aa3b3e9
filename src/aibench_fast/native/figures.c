#include "figures.h"

#include <string.h>

#define NAME(name) #name,

const char *const figure_counter_names[] = {FIGURE_COUNTER_LIST(NAME)};
const char *const figure_histogram_names[] = {FIGURE_HISTOGRAM_LIST(NAME)};
const char *const run_counter_names[] = {RUN_COUNTER_LIST(NAME)};
const char *const run_histogram_names[] = {RUN_HISTOGRAM_LIST(NAME)};

void counters_merge(_Atomic uint64_t *into, const _Atomic uint64_t *from, int count)
{
    for (int i = 0; i < count; i++)
        counter_add(&into[i], atomic_load_explicit(&from[i], memory_order_acquire));
}

void histograms_init(struct histogram *histograms, int count)
{
    for (int i = 0; i < count; i++)
        histogram_init(&histograms[i]);
}

void histograms_merge(struct histogram *into, const struct histogram *from, int count)
{
    for (int i = 0; i < count; i++)
        histogram_merge(&into[i], &from[i]);
}

void figures_init(struct figures *f)
{
    memset(&f->counters, 0, sizeof f->counters);
    memset(&f->failures, 0, sizeof f->failures);
    histograms_init(f->histograms.all, FIGURE_HISTOGRAMS);
    histogram_init(&f->response_latencies);
}

void figures_merge(struct figures *into, const struct figures *from)
{
    counters_merge(into->counters.all, from->counters.all, FIGURE_COUNTERS);
    failures_merge(&into->failures, &from->failures);
    histograms_merge(into->histograms.all, from->histograms.all, FIGURE_HISTOGRAMS);
    histogram_merge(&into->response_latencies, &from->response_latencies);
}

void figures_complete(struct figures *f)
{
    if (figures_have_service(f)) {
        histogram_merge(&f->histograms.service_latencies, &f->histograms.latencies);
        histogram_merge(&f->histograms.latencies, &f->response_latencies);
    }
}

void counted_init(struct counted *c)
{
    memset(&c->counters, 0, sizeof c->counters);
    histograms_init(c->histograms.all, RUN_HISTOGRAMS);
    figures_init(&c->measured);
    figures_init(&c->burn_in);
}

void counted_merge(struct counted *into, const struct counted *from)
{
    figures_merge(&into->measured, &from->measured);
    figures_merge(&into->burn_in, &from->burn_in);
    histograms_merge(into->histograms.all, from->histograms.all, RUN_HISTOGRAMS);
    counters_merge(into->counters.all, from->counters.all, RUN_COUNTERS); /* last, see RUN_COUNTER_LIST */
}

void counted_complete(struct counted *c)
{
    figures_complete(&c->measured);
    figures_complete(&c->burn_in);
}
