#include "tokenfigures.h"

#include <string.h>

#include "figures.h"

#define NAME(name) #name,

const char *const token_counter_names[] = {TOKEN_COUNTER_LIST(NAME)};
const char *const token_histogram_names[] = {TOKEN_HISTOGRAM_LIST(NAME)};

void token_figures_init(struct token_figures *f)
{
    memset(&f->counters, 0, sizeof f->counters);
    histograms_init(f->histograms.all, TOKEN_HISTOGRAMS);
}

void token_figures_merge(struct token_figures *into, const struct token_figures *from)
{
    counters_merge(into->counters.all, from->counters.all, TOKEN_COUNTERS);
    histograms_merge(into->histograms.all, from->histograms.all, TOKEN_HISTOGRAMS);
}
