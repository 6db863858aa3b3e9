#include "counting.h"

#include "schedstat.h"

/* Whether a request that is due by the schedule is measured; the first that is begins the measuring. */
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
    if (t->kinds != NULL)
        figures_record(&t->kinds[request->kind - w->kinds], outcome);
    if (t->servers != NULL)
        figures_record(&t->servers[w->server], outcome);
    if (request->arrival.step != SCHEDULE_NO_STEP)
        figures_record(&t->steps[request->arrival.step], outcome);
}

OUT_OF_LINE void count_cpu_from_here(struct iothread *t)
{
    int fd = atomic_load_explicit(&t->schedstat_fd, memory_order_relaxed);
    atomic_store_explicit(&t->cpu_wait_from_ns, schedstat_wait_ns(fd), memory_order_relaxed);
    atomic_store_explicit(&t->cpu_from_ns, clock_ns(CLOCK_THREAD_CPUTIME_ID), memory_order_relaxed);
}

OUT_OF_LINE void count_in_burn_in(struct iothread *t, const struct outcome *outcome)
{
    int64_t intended_ns = outcome->due_ns ? outcome->due_ns : outcome->started_ns;
    if (outcome->failure == FAILURE_NONE)
        histogram_record(&t->burn_in_latencies, outcome->ended_ns - intended_ns);
    else
        failures_record(&t->burn_in_failures, outcome->failure, outcome->message,
                        outcome->ended_ns);
}

OUT_OF_LINE void count_started(struct iothread *t, struct worker *w, struct request *request)
{
    int64_t lag_ns = request->started_ns - request->arrival.due_ns;
    request->measured = is_measured(t->run, &request->arrival);
    if (!request->measured)
        return;
    histogram_record(&t->start_lags, lag_ns);
    if (!w->late && !w->held_up)
        histogram_record(&t->timer_lags, lag_ns);
}

OUT_OF_LINE void count_woken_late(struct iothread *t, const struct request *request, int64_t now_ns)
{
    if (is_measured(t->run, &request->arrival))
        histogram_record(&t->timer_lags, now_ns - request->arrival.due_ns);
}

OUT_OF_LINE void count_given_up(struct iothread *t, struct request *request)
{
    figures_bump(&t->begun);
    if (request->arrival.due_ns)
        request->measured = is_measured(t->run, &request->arrival);
}

OUT_OF_LINE void count_shed(struct iothread *t, const struct worker *w, const struct request *request)
{
    if (!is_measured(t->run, &request->arrival)) {
        figures_bump(&t->burn_in_shed);
    } else {
        figures_bump(&t->measured.shed);
        if (t->kinds != NULL)
            figures_bump(&t->kinds[request->kind - w->kinds].shed);
        if (t->servers != NULL)
            figures_bump(&t->servers[w->server].shed);
        if (request->arrival.step != SCHEDULE_NO_STEP)
            figures_bump(&t->steps[request->arrival.step].shed);
    }
}

OUT_OF_LINE void count_unsent(struct iothread *t, const struct request *request)
{
    figures_bump(&t->measured.unsent);
    if (request->arrival.step != SCHEDULE_NO_STEP)
        figures_bump(&t->steps[request->arrival.step].unsent);
}

OUT_OF_LINE void count_reply_wait(struct iothread *t, struct worker *w)
{
    if (atomic_load_explicit(&t->run->measured_from_ns, memory_order_relaxed))
        histogram_record(&t->reply_waits, w->connection.reply_wait_ns);
    w->connection.reply_wait_ns = -1;
}

OUT_OF_LINE void count_connected(struct iothread *t, const struct worker *w, int64_t now_ns)
{
    int64_t from_ns = atomic_load_explicit(&t->run->measured_from_ns, memory_order_relaxed);
    if (from_ns && from_ns <= now_ns)
        histogram_record(&t->connect_times, now_ns - w->since_ns);
}
