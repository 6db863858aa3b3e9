#include "steadywindow.h"

#include "runstate.h"

static int64_t later(int64_t a_ns, int64_t b_ns)
{
    return a_ns > b_ns ? a_ns : b_ns;
}

/* Return the earlier of two times, of which 0 is none. */
static int64_t earlier(int64_t a_ns, int64_t b_ns)
{
    return b_ns && (a_ns == 0 || b_ns < a_ns) ? b_ns : a_ns;
}

/* Return when the window began; 0: not yet. */
static int64_t from_ns(struct run_state *run)
{
    int64_t ramp_ns = atomic_load_explicit(&run->steady_from_ns, memory_order_relaxed);
    int64_t measured_ns = atomic_load_explicit(&run->measured_from_ns, memory_order_relaxed);
    return ramp_ns && measured_ns ? later(ramp_ns, measured_ns) : 0;
}

/* Return when the window ends, as far as that is known; 0: not known. */
static int64_t until_ns(struct run_state *run)
{
    if (!schedule_is_open(&run->schedule))
        return atomic_load_explicit(&run->steady_until_ns, memory_order_relaxed);
    int64_t cut_ns = earlier(atomic_load(&run->over_ns), atomic_load(&run->max_due_ns));
    return earlier(schedule_end_ns(&run->schedule), cut_ns);
}

/* The ramp is over with the first end of a stream in an open loop, and with that of every worker in a closed one. */
static void note_end(struct run_state *run, struct worker *w, int64_t ended_ns)
{
    if (schedule_is_open(&run->schedule))
        keep_earliest(&run->steady_from_ns, ended_ns);
    else if (w->ended_ns == 0 && atomic_fetch_add(&run->workers_ended_one, 1) + 1 == run->config.workers)
        atomic_store(&run->steady_from_ns, ended_ns);
}

void steady_stream_ended(struct run_state *run, struct worker *w, int64_t started_ns, int64_t ended_ns,
                         struct steady_part *part)
{
    int64_t last_ns = w->ended_ns;
    *part = (struct steady_part){0};
    note_end(run, w, ended_ns);
    w->ended_ns = ended_ns;
    int64_t begin_ns = from_ns(run), end_ns = until_ns(run);
    if (begin_ns == 0)
        return;
    end_ns = earlier(ended_ns, end_ns);
    if (!schedule_is_open(&run->schedule) && last_ns)
        part->worker_ns = later(0, end_ns - later(begin_ns, last_ns));
    part->stream_ns = later(0, end_ns - later(begin_ns, started_ns));
    if (part->stream_ns > 0)
        part->share = (double)part->stream_ns / (double)(ended_ns - started_ns);
}

uint64_t steady_worker_ended(struct run_state *run, const struct worker *w, int64_t now_ns)
{
    keep_earliest(&run->steady_until_ns, now_ns);
    int64_t begin_ns = from_ns(run);
    if (schedule_is_open(&run->schedule) || begin_ns == 0)
        return 0;
    return (uint64_t)later(0, until_ns(run) - later(begin_ns, w->ended_ns));
}

void steady_bounds(struct run_state *run, int64_t now_ns, int64_t *begin_ns, int64_t *end_ns)
{
    *begin_ns = from_ns(run);
    *end_ns = earlier(now_ns, until_ns(run));
}
