#include "loadgen.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "iothread.h"
#include "requests.h"
#include "schedstat.h"
#include "steadywindow.h"

/* Request 0 is due so long after the start, so that all threads run by then. */
#define SCHEDULE_LEAD_NS (10 * NS_PER_MS)

struct loadgen {
    struct run_state run;
    int64_t started_ns;
    uint32_t threads_started; /* and not joined yet */
    struct iothread threads[]; /* run.config.threads of them */
};

/* Divide the range of a draw, 64 bits, among the kinds by weight. Weights are close enough to each other that only the
 * last sum rounds to the whole range, which 64 bits cannot hold. */
static void set_kind_limits(struct run_state *run)
{
    const struct loadgen_config *config = &run->config;
    double total = 0, reached = 0;
    for (uint32_t k = 0; k < config->kind_count; k++)
        total += config->kinds[k].weight;
    for (uint32_t k = 0; k + 1 < config->kind_count; k++) {
        reached += config->kinds[k].weight;
        run->kind_limits[k] = (uint64_t)(reached / total * 0x1p64);
    }
}

static void keep_shorter(int64_t *shortest_ns, int64_t timeout_ns)
{
    if (timeout_ns && timeout_ns < *shortest_ns)
        *shortest_ns = timeout_ns;
}

/* Return how many texts and parts of tensors a request of this kind is made of, at most. */
static size_t pieces_max(const struct request_kind *kind)
{
    size_t needed = kind->input_count + 1;
    for (uint32_t input = 0; input < kind->input_count; input++)
        needed += tensormap_batch_iovecs(kind->inputs[input], kind->batch);
    return needed;
}

static void set_shortest_timeout(struct run_state *run)
{
    const struct loadgen_config *config = &run->config;
    run->shortest_timeout_ns = config->reply_timeout_ns;
    if (config->protocol != &tokenstream_protocol)
        return;
    for (uint32_t k = 0; k < config->kind_count; k++) {
        const struct token_plan *plan = &config->kinds[k].tokens;
        keep_shorter(&run->shortest_timeout_ns, plan->first_token_timeout_ns);
        keep_shorter(&run->shortest_timeout_ns, plan->token_timeout_ns);
    }
}

static void init_shared(struct run_state *run, const struct loadgen_config *config)
{
    pthread_condattr_t monotonic;
    const uint32_t parts[DIMENSIONS] = {
        [DIMENSION_KIND] = config->kind_count > 1 ? config->kind_count : 0,
        [DIMENSION_SERVER] = config->server_count > 1 ? config->server_count : 0,
        [DIMENSION_STEP] = config->step_count,
    };
    run->config = *config;
    parts_lay_out(&run->parts, parts);
    schedule_init(&run->schedule, &config->schedule);
    atomic_init(&run->burn_in_requests, config->burn_in_requests);
    for (uint32_t k = 0; k < config->kind_count; k++) {
        size_t output = config->kinds[k].output_bytes_max;
        size_t reply = config->kinds[k].output_bytes + config->kinds[k].text_bytes;
        run->output_bytes_max = output > run->output_bytes_max ? output : run->output_bytes_max;
        size_t longest = output + config->kinds[k].text_bytes;
        run->reply_bytes_max = reply > run->reply_bytes_max ? reply : run->reply_bytes_max;
        run->longest_reply_bytes = longest > run->longest_reply_bytes ? longest : run->longest_reply_bytes;
        size_t pieces = pieces_max(&config->kinds[k]);
        run->pieces_max = pieces > run->pieces_max ? pieces : run->pieces_max;
    }
    set_kind_limits(run);
    set_shortest_timeout(run);
    for (uint32_t i = 0; i < config->server_count; i++)
        outages_init(&run->outages[i]);
    for (uint32_t i = 0; i < config->server_count; i++)
        keepalive_init(&run->keepalives[i], config->servers[i].closes_each);
    pthread_mutex_init(&run->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&run->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

struct loadgen *loadgen_create(const struct loadgen_config *config, errstr_t errstr)
{
    struct loadgen *g = calloc(1, sizeof *g + config->threads * sizeof g->threads[0]);
    uint32_t given = 0;
    struct outages *outages = calloc(config->server_count, sizeof *outages);
    struct keepalive *keepalives = calloc(config->server_count, sizeof *keepalives);
    if (g == NULL || outages == NULL || keepalives == NULL) {
        free(g);
        free(outages);
        free(keepalives);
        snprintf(errstr, ERRSTR_BYTES, "out of memory");
        return NULL;
    }
    g->run.outages = outages;
    g->run.keepalives = keepalives;
    init_shared(&g->run, config);
    for (uint32_t k = 0; k < config->kind_count; k++)
        for (uint32_t i = 0; i < config->kinds[k].input_count; i++)
            tensormap_populate(config->kinds[k].inputs[i]);
    for (uint32_t i = 0; i < config->threads; i++) {
        g->threads[i].epoll_fd = -1;
        g->threads[i].line.timer_fd = -1;
        atomic_init(&g->threads[i].schedstat_fd, -1);
    }
    g->run.sample = malloc(g->run.output_bytes_max + 1); /* outputs may be empty */
    if (g->run.sample == NULL) {
        snprintf(errstr, ERRSTR_BYTES, "out of memory");
        loadgen_free(g);
        return NULL;
    }
    for (uint32_t i = 0; i < config->threads; i++) {
        uint32_t share = (config->workers - given) / (config->threads - i);
        if (iothread_init(&g->threads[i], &g->run, given, share, errstr) < 0) {
            loadgen_free(g);
            return NULL;
        }
        given += share;
    }
    return g;
}

int loadgen_start(struct loadgen *g, int64_t at_ns, errstr_t errstr)
{
    const struct loadgen_config *config = &g->run.config;
    sigset_t all, before;
    int error = 0;
    g->started_ns = at_ns ? at_ns : monotonic_ns();
    g->run.schedule.start_ns = g->started_ns;
    if (schedule_is_open(&g->run.schedule) && at_ns == 0)
        g->run.schedule.start_ns += SCHEDULE_LEAD_NS;
    atomic_store(&g->run.measure_due_from_ns, g->run.schedule.start_ns + config->burn_in_ns);
    if ((config->burn_in_requests == 0 && config->burn_in_ns == 0) || config->measured_after_ns)
        atomic_store(&g->run.measured_from_ns,
                     g->run.schedule.start_ns + config->measured_after_ns);
    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* mapguard.h needs it, and it cannot be deferred */
    pthread_sigmask(SIG_SETMASK, &all, &before); /* threads inherit it */
    g->run.threads_running = g->run.config.threads;
    while (g->threads_started < g->run.config.threads && !error) {
        struct iothread *t = &g->threads[g->threads_started];
        error = pthread_create(&t->thread, NULL, iothread_main, t);
        if (!error) {
            pthread_setname_np(t->thread, "aibench-io");
            g->threads_started++;
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        snprintf(errstr, ERRSTR_BYTES, "cannot start an I/O thread: %s", strerror(error));
    return error ? -1 : 0;
}

bool loadgen_wait(struct loadgen *g, int64_t timeout_ns)
{
    int64_t until_ns = monotonic_ns() + timeout_ns;
    struct timespec until = {until_ns / NS_PER_S, until_ns % NS_PER_S};
    int error = 0;
    pthread_mutex_lock(&g->run.mutex);
    while (g->run.threads_running > 0 && !error)
        error = pthread_cond_timedwait(&g->run.ended, &g->run.mutex, &until);
    bool ended = g->run.threads_running == 0;
    pthread_mutex_unlock(&g->run.mutex);
    return ended;
}

bool loadgen_measuring(struct loadgen *g)
{
    int64_t from_ns = atomic_load(&g->run.measured_from_ns);
    return from_ns != 0 && from_ns <= monotonic_ns();
}

bool loadgen_is_ending(struct loadgen *g)
{
    if (run_is_over(&g->run))
        return true;
    if (g->run.config.schedule.arrivals == ARRIVALS_CONVERSATIONS)
        return false; /* a worker may have turns left where another found no conversation */
    bool ending = atomic_load(&g->run.exhausted);
    for (uint32_t i = 0; i < g->run.config.threads; i++)
        ending = ending && !atomic_load(&g->threads[i].waits);
    return ending;
}

void loadgen_begin_measuring(struct loadgen *g)
{
    struct run_state *run = &g->run;
    if (schedule_is_open(&run->schedule)) {
        atomic_store(&run->measure_due_from_ns, monotonic_ns());
        atomic_store(&run->burn_in_requests, 0);
    } else {
        atomic_store(&run->measured_from_ns, monotonic_ns());
        atomic_store(&run->burn_in_requests, atomic_load(&run->completions));
    }
}

void loadgen_stop(struct loadgen *g)
{
    run_stop(&g->run);
}

/* Return the CPU time of a thread in the measured part; after its end, the time that it recorded. */
static int64_t thread_cpu_ns(struct iothread *t)
{
    int64_t from_ns = atomic_load_explicit(&t->cpu_from_ns, memory_order_relaxed);
    int64_t final_ns = atomic_load_explicit(&t->cpu_ns, memory_order_relaxed);
    clockid_t clock;
    struct timespec now;
    if (from_ns == 0 || final_ns != 0 || pthread_getcpuclockid(t->thread, &clock) ||
        clock_gettime(clock, &now))
        return final_ns;
    return now.tv_sec * NS_PER_S + now.tv_nsec - from_ns;
}

/* Return how long a thread waited for a CPU in the measured part, likewise; -1: unknown. */
static int64_t thread_cpu_wait_ns(struct iothread *t)
{
    int64_t from_ns = atomic_load_explicit(&t->cpu_wait_from_ns, memory_order_relaxed);
    int64_t final_ns = atomic_load_explicit(&t->cpu_wait_ns, memory_order_relaxed);
    if (from_ns < 0 || final_ns >= 0)
        return final_ns;
    int64_t now_ns = schedstat_wait_ns(atomic_load_explicit(&t->schedstat_fd, memory_order_acquire));
    return now_ns < 0 ? -1 : now_ns - from_ns;
}

static void add_thread(struct loadgen_snapshot *s, struct iothread *t, double *busiest_ns)
{
    int64_t last_ns = atomic_load_explicit(&t->last_completed_ns, memory_order_relaxed);
    int64_t began_ns = atomic_load_explicit(&t->began_ns, memory_order_relaxed);
    int64_t cpu_ns = thread_cpu_ns(t);
    s->cpu_ns += cpu_ns;
    int64_t cpu_wait_ns = thread_cpu_wait_ns(t);
    if (cpu_wait_ns > s->longest_cpu_wait_ns)
        s->longest_cpu_wait_ns = cpu_wait_ns;
    uint64_t least = atomic_load_explicit(&t->least_worker_requests, memory_order_relaxed);
    uint64_t most = atomic_load_explicit(&t->most_worker_requests, memory_order_relaxed);
    if (least < s->least_worker_requests)
        s->least_worker_requests = least;
    if (most > s->most_worker_requests)
        s->most_worker_requests = most;
    if (began_ns && (s->began_ns == 0 || began_ns < s->began_ns))
        s->began_ns = began_ns;
    if (last_ns > s->last_completed_ns)
        s->last_completed_ns = last_ns;
    if ((double)cpu_ns > *busiest_ns)
        *busiest_ns = (double)cpu_ns;
    counted_merge(&s->counted, &t->counted);
    if (t->tokens != NULL)
        token_figures_merge(&s->tokens, &t->tokens[0]);
}

/* Return when the run stopped taking requests that were due; 0: the schedule ended by itself. */
static int64_t cut_at_ns(struct run_state *run)
{
    int64_t over_ns = atomic_load(&run->over_ns);
    int64_t max_due_ns = atomic_load(&run->max_due_ns);
    return max_due_ns && (over_ns == 0 || max_due_ns < over_ns) ? max_due_ns : over_ns;
}

void loadgen_read(struct loadgen *g, struct loadgen_snapshot *s)
{
    double busiest_ns = 0;
    counted_init(&s->counted);
    s->has_tokens = g->threads[0].tokens != NULL;
    if (s->has_tokens)
        token_figures_init(&s->tokens);
    steady_bounds(&g->run, monotonic_ns(), &s->steady_from_ns, &s->steady_until_ns);
    s->began_ns = s->last_completed_ns = s->cpu_ns = 0;
    s->busiest_thread = 0;
    s->longest_cpu_wait_ns = -1;
    s->least_worker_requests = UINT64_MAX; /* every thread has a worker */
    s->most_worker_requests = 0;
    s->started_ns = g->started_ns;
    s->measured_from_ns = atomic_load(&g->run.measured_from_ns);
    s->cut_ns = cut_at_ns(&g->run);
    s->cut_after_ns = s->cut_ns ? s->cut_ns - atomic_load(&g->run.measure_due_from_ns) : 0;
    s->lag_exceeded = atomic_load(&g->run.lag_exceeded);
    for (uint32_t i = 0; i < g->run.config.threads; i++)
        add_thread(s, &g->threads[i], &busiest_ns);
    counted_complete(&s->counted);
    if (s->last_completed_ns > s->measured_from_ns)
        s->busiest_thread = busiest_ns / (double)(s->last_completed_ns - s->measured_from_ns);
}

uint32_t loadgen_parts(const struct loadgen *g)
{
    return g->run.parts.total;
}

void loadgen_read_part(struct loadgen *g, uint32_t place, struct part *part)
{
    const struct parts *parts = &g->run.parts;
    part->dimension = parts_dimension(parts, place);
    part->number = place - parts->firsts[part->dimension];
    figures_init(&part->figures);
    for (uint32_t i = 0; i < g->run.config.threads; i++)
        figures_merge(&part->figures, &g->threads[i].parts[place]);
    if (g->threads[0].tokens != NULL) {
        token_figures_init(&part->tokens);
        for (uint32_t i = 0; i < g->run.config.threads; i++)
            token_figures_merge(&part->tokens, &g->threads[i].tokens[1 + place]);
    }
    figures_complete(&part->figures);
}

uint64_t loadgen_read_outages(struct loadgen *g, uint32_t server, struct outage *outages)
{
    return outages_read(&g->run.outages[server], outages);
}

bool loadgen_tls(struct loadgen *g, const char **version, const char **cipher)
{
    const struct tls_link *link = g->threads[0].workers[0].connection.transport.tls;
    if (link != NULL)
        tls_describe(link, version, cipher);
    return link != NULL;
}

const struct event_log *loadgen_event_log(const struct loadgen *g, uint32_t thread)
{
    return &g->threads[thread].log;
}

void loadgen_want_sample(struct loadgen *g)
{
    int none = SAMPLE_NONE;
    atomic_compare_exchange_strong(&g->run.sample_state, &none, SAMPLE_WANTED);
}

bool loadgen_take_sample(struct loadgen *g, char *output, size_t *bytes, uint32_t *kind, uint64_t *tensor)
{
    if (atomic_load(&g->run.sample_state) != SAMPLE_READY)
        return false;
    *kind = g->run.sample_kind;
    *tensor = g->run.sample_tensor;
    *bytes = g->run.sample_bytes;
    memcpy(output, g->run.sample, *bytes);
    atomic_store(&g->run.sample_state, SAMPLE_NONE);
    return true;
}

void loadgen_free(struct loadgen *g)
{
    loadgen_stop(g);
    for (uint32_t i = 0; i < g->threads_started; i++)
        pthread_join(g->threads[i].thread, NULL);
    for (uint32_t i = 0; i < g->run.config.threads; i++)
        iothread_free(&g->threads[i]);
    pthread_mutex_destroy(&g->run.mutex);
    pthread_cond_destroy(&g->run.ended);
    schedule_close(&g->run.schedule);
    for (uint32_t i = 0; i < g->run.config.server_count; i++)
        outages_close(&g->run.outages[i]);
    free(g->run.outages);
    free(g->run.keepalives);
    free(g->run.sample);
    free(g);
}
