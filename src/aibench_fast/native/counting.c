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

OUT_OF_LINE void count_in_parts(struct iothread *t, const struct worker *w, const struct request *request,
                               const struct outcome *outcome)
{
    uint32_t places[DIMENSIONS];
    int count = count_places(t, w, request, places);
    for (int i = 0; i < count; i++)
        figures_record(&t->parts[places[i]], outcome);
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
    uint32_t places[DIMENSIONS];
    int count = count_places(t, w, request, places);
    for (int i = 0; i < count; i++)
        counter_bump(&t->parts[places[i]].counters.shed);
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
