#include "counting.h"

#include "schedstat.h"

/* Return whether a request of an open loop is measured. The first measured one begins the measured part. */
OUT_OF_LINE static bool is_measured(struct run_state *run, const struct arrival *arrival)
{
    if (arrival->number < atomic_load_explicit(&run->burn_in_requests, memory_order_relaxed) ||
        arrival->due_ns < atomic_load_explicit(&run->measure_due_from_ns, memory_order_relaxed))
        return false;
    keep_earliest(&run->measured_from_ns, arrival->due_ns);
    return true;
}

/* Find the figures of the parts that the request belongs to; return their number. */
static int parts_of(struct iothread *t, const struct worker *w, const struct request *request,
                    struct figures *found[DIMENSIONS])
{
    const uint32_t numbers[DIMENSIONS] = {
        [DIMENSION_KIND] = (uint32_t)(request->kind - w->kinds),
        [DIMENSION_SERVER] = w->server,
        [DIMENSION_STEP] = request->arrival.step, /* SCHEDULE_NO_STEP is above any count */
    };
    int count = 0;
    for (int dimension = 0; dimension < DIMENSIONS; dimension++) {
        uint32_t place = parts_place(&t->run->parts, (enum dimension)dimension, numbers[dimension]);
        if (place != PARTS_NONE)
            found[count++] = &t->parts[place];
    }
    return count;
}

OUT_OF_LINE void count_in_parts(struct iothread *t, const struct worker *w, const struct request *request,
                               const struct outcome *outcome)
{
    struct figures *parts[DIMENSIONS];
    int count = parts_of(t, w, request, parts);
    for (int i = 0; i < count; i++)
        figures_record(parts[i], outcome);
}

OUT_OF_LINE void count_cpu_from_here(struct iothread *t)
{
    int fd = atomic_load_explicit(&t->schedstat_fd, memory_order_relaxed);
    atomic_store_explicit(&t->cpu_wait_from_ns, schedstat_wait_ns(fd), memory_order_relaxed);
    atomic_store_explicit(&t->cpu_from_ns, clock_ns(CLOCK_THREAD_CPUTIME_ID), memory_order_relaxed);
}

OUT_OF_LINE void count_in_burn_in(struct iothread *t, const struct outcome *outcome)
{
    figures_record(&t->counted.burn_in, outcome);
}

OUT_OF_LINE void count_started(struct iothread *t, struct worker *w, struct request *request)
{
    int64_t lag_ns = request->started_ns - request->arrival.due_ns;
    request->measured = is_measured(t->run, &request->arrival);
    if (!request->measured)
        return;
    histogram_record(&t->counted.histograms.start_lags, lag_ns);
    if (!w->late && !w->held_up)
        histogram_record(&t->counted.histograms.timer_lags, lag_ns);
}

OUT_OF_LINE void count_woken_late(struct iothread *t, const struct request *request, int64_t now_ns)
{
    if (is_measured(t->run, &request->arrival))
        histogram_record(&t->counted.histograms.timer_lags, now_ns - request->arrival.due_ns);
}

OUT_OF_LINE void count_given_up(struct iothread *t, struct request *request)
{
    counter_bump(&t->counted.counters.begun);
    if (request->arrival.due_ns)
        request->measured = is_measured(t->run, &request->arrival);
}

OUT_OF_LINE void count_shed(struct iothread *t, const struct worker *w, const struct request *request)
{
    if (!is_measured(t->run, &request->arrival)) {
        counter_bump(&t->counted.burn_in.counters.shed);
        return;
    }
    counter_bump(&t->counted.measured.counters.shed);
    struct figures *parts[DIMENSIONS];
    int count = parts_of(t, w, request, parts);
    for (int i = 0; i < count; i++)
        counter_bump(&parts[i]->counters.shed);
}

OUT_OF_LINE void count_unsent(struct iothread *t, const struct arrival *arrival)
{
    /* Only the step: a request that no worker took has no server. */
    uint32_t place = parts_place(&t->run->parts, DIMENSION_STEP, arrival->step);
    counter_bump(&t->counted.measured.counters.unsent);
    if (place != PARTS_NONE)
        counter_bump(&t->parts[place].counters.unsent);
}

OUT_OF_LINE void count_left_over(struct iothread *t)
{
    struct run_state *run = t->run;
    int64_t over_ns = atomic_load(&run->over_ns);
    struct arrival arrival;
    if (!schedule_is_open(&run->schedule))
        return;
    while (schedule_next(&run->schedule, &arrival) && arrival.due_ns < over_ns &&
           (!run->config.max_requests || arrival.number < run->config.max_requests))
        count_unsent(t, &arrival);
}

OUT_OF_LINE void count_reply_wait(struct iothread *t, struct worker *w)
{
    if (atomic_load_explicit(&t->run->measured_from_ns, memory_order_relaxed))
        histogram_record(&t->counted.histograms.reply_waits, w->connection.reply_wait_ns);
    w->connection.reply_wait_ns = -1;
}

OUT_OF_LINE void count_connected(struct iothread *t, const struct worker *w, int64_t now_ns)
{
    int64_t from_ns = atomic_load_explicit(&t->run->measured_from_ns, memory_order_relaxed);
    if (from_ns && from_ns <= now_ns)
        histogram_record(&t->counted.histograms.connect_times, now_ns - w->since_ns);
}

void count_tokens(struct iothread *t, const struct request *request, const struct token_marks *marks, bool succeeded)
{
    union run_counters *counters = &t->counted.counters;
    union run_histograms *histograms = &t->counted.histograms;
    uint64_t tokens = token_marks_tokens(marks);
    if (!succeeded) {
        counter_add(&counters->failed_chunks, marks->chunks);
        return;
    }
    counter_add(&counters->output_tokens, tokens);
    counter_add(&counters->input_tokens, marks->input_tokens > 0 ? (uint64_t)marks->input_tokens : 0);
    counter_add(&counters->chunks, marks->chunks);
    counter_add(&counters->events, marks->events);
    counter_add(&counters->event_reads, marks->reads);
    counter_add(&counters->stamped_reads, marks->stamped_reads);
    counter_add(&counters->uncounted_streams, marks->output_tokens == TOKENS_UNKNOWN);
    histogram_record(&histograms->first_events, marks->first_event_ns - request->started_ns);
    histogram_record(&histograms->first_tokens, marks->first_content_ns - request->started_ns);
    if (request->arrival.due_ns)
        histogram_record(&histograms->first_tokens_due, marks->first_content_ns - request->arrival.due_ns);
    if (marks->first_answer_ns)
        histogram_record(&histograms->first_answers, marks->first_answer_ns - request->started_ns);
    if (tokens > 1)
        histogram_record(&histograms->token_times,
                         (marks->last_content_ns - marks->first_content_ns) / (int64_t)(tokens - 1));
    for (uint64_t i = 0; i + 1 < marks->chunks; i++)
        histogram_record(&histograms->chunk_gaps, marks->gaps_ns[i]);
}
