#include "counting.h"

/* Whether a request that is due by the schedule is measured; the first that is begins the measuring. */
OUT_OF_LINE static bool is_measured(struct run_state *run, const struct arrival *arrival)
{
    if (arrival->number < atomic_load_explicit(&run->burn_in_requests, memory_order_relaxed) ||
        arrival->due_ns < atomic_load_explicit(&run->measure_due_from_ns, memory_order_relaxed))
        return false;
    /* Of requests that several threads start at once the one due first may come last. */
    int64_t from_ns = atomic_load_explicit(&run->measured_from_ns, memory_order_relaxed);
    while ((from_ns == 0 || arrival->due_ns < from_ns) &&
           !atomic_compare_exchange_weak(&run->measured_from_ns, &from_ns, arrival->due_ns))
        ;
    return true;
}

/* Whether the request that ended now is measured: by a schedule that was settled when it was due; in
 * a closed loop, where a burn-in ends when so many requests ended, it is now. */
static bool settle_measured(struct run_state *run, const struct request *request, int64_t now_ns)
{
    uint64_t order = atomic_fetch_add_explicit(&run->completions, 1, memory_order_relaxed);
    if (schedule_is_open(&run->schedule))
        return request->measured;
    uint64_t burn_in = atomic_load_explicit(&run->burn_in_requests, memory_order_relaxed);
    if (order + 1 == burn_in)
        atomic_store_explicit(&run->measured_from_ns, now_ns, memory_order_relaxed);
    return order >= burn_in;
}

/* Record the outcome in the figures of the whole and of each part that the request belongs to. */
static void record(struct iothread *t, const struct worker *w, const struct request *request,
                   const struct outcome *outcome)
{
    figures_record(&t->measured, outcome);
    if (t->kinds != NULL)
        figures_record(&t->kinds[request->kind - w->kinds], outcome);
    if (t->servers != NULL)
        figures_record(&t->servers[w->server], outcome);
    if (request->arrival.step != SCHEDULE_NO_STEP)
        figures_record(&t->steps[request->arrival.step], outcome);
}

/* Keep apart what ended before the measuring. */
OUT_OF_LINE static void record_burn_in(struct iothread *t, const struct outcome *outcome)
{
    int64_t intended_ns = outcome->due_ns ? outcome->due_ns : outcome->started_ns;
    if (outcome->failure == FAILURE_NONE)
        histogram_record(&t->burn_in_latencies, outcome->ended_ns - intended_ns);
    else
        failures_record(&t->burn_in_failures, outcome->failure, outcome->message,
                        outcome->ended_ns);
}

void count_ended(struct iothread *t, struct worker *w, int64_t now_ns)
{
    struct run_state *run = t->run;
    const struct request *request = oldest(w);
    const struct outcome outcome = {
        .failure = w->check.kind,
        .message = w->check.message,
        .batch = request->kind->batch,
        .due_ns = request->arrival.due_ns,
        .started_ns = request->started_ns,
        .ended_ns = now_ns,
        .late = w->late,
    };
    if (request->started_ns == 0) /* given up for want of a connection */
        figures_bump(&t->begun);
    figures_bump(&t->requests);
    if (outcome.failure == FAILURE_NONE)
        figures_add(&t->answered_tensors, outcome.batch);
    if (!settle_measured(run, request, now_ns)) {
        record_burn_in(t, &outcome);
        return;
    }
    if (atomic_load_explicit(&t->cpu_from_ns, memory_order_relaxed) == 0)
        atomic_store_explicit(&t->cpu_from_ns, clock_ns(CLOCK_THREAD_CPUTIME_ID),
                              memory_order_relaxed);
    atomic_store_explicit(&t->last_completed_ns, now_ns, memory_order_relaxed);
    w->measured++;
    record(t, w, request, &outcome);
}

OUT_OF_LINE void count_started(struct iothread *t, struct worker *w, struct request *request)
{
    int64_t lag_ns = request->started_ns - request->arrival.due_ns;
    request->measured = is_measured(t->run, &request->arrival);
    if (!request->measured)
        return;
    histogram_record(&t->start_lags, lag_ns);
    if (!w->late)
        histogram_record(&t->timer_lags, lag_ns);
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

OUT_OF_LINE void count_reply_wait(struct iothread *t, struct worker *w)
{
    if (atomic_load_explicit(&t->run->measured_from_ns, memory_order_relaxed))
        histogram_record(&t->reply_waits, w->connection.reply_wait_ns);
    w->connection.reply_wait_ns = -1;
}
