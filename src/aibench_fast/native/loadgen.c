#include "loadgen.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "iothread.h"

/* How long after the threads' start request 0 is due, so that none is late for want of a thread. */
#define SCHEDULE_LEAD_NS (10 * NS_PER_MS)

struct loadgen {
    struct run_state run;
    int64_t started_ns;
    uint32_t threads_started; /* and not joined yet */
    struct iothread threads[]; /* run.config.threads of them */
};

static void init_shared(struct run_state *run, const struct loadgen_config *config)
{
    pthread_condattr_t monotonic;
    run->config = *config;
    if (config->requests_per_s > 0)
        run->schedule.interval_ns = (double)NS_PER_S / config->requests_per_s;
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
    if (g == NULL) {
        snprintf(errstr, ERRSTR_BYTES, "out of memory");
        return NULL;
    }
    init_shared(&g->run, config);
    tensormap_populate(config->tensors);
    for (uint32_t i = 0; i < config->threads; i++) {
        g->threads[i].epoll_fd = -1;
        g->threads[i].line.timer_fd = -1;
    }
    g->run.sample = malloc(config->output_bytes);
    if (g->run.sample == NULL) {
        snprintf(errstr, ERRSTR_BYTES, "out of memory");
        loadgen_free(g);
        return NULL;
    }
    for (uint32_t i = 0; i < config->threads; i++) {
        uint32_t share = (config->workers - given) / (config->threads - i);
        if (iothread_init(&g->threads[i], &g->run, config->texts + given, share, errstr) < 0) {
            loadgen_free(g);
            return NULL;
        }
        given += share;
    }
    return g;
}

int loadgen_start(struct loadgen *g, errstr_t errstr)
{
    sigset_t all, before;
    int error = 0;
    g->started_ns = monotonic_ns();
    g->run.schedule.start_ns = g->started_ns;
    if (g->run.schedule.interval_ns > 0)
        g->run.schedule.start_ns += SCHEDULE_LEAD_NS;
    if (g->run.config.burn_in_requests == 0)
        atomic_store(&g->run.measured_from_ns, g->run.schedule.start_ns);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* what a thread is born with, it keeps */
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
    return atomic_load(&g->run.measured_from_ns) != 0;
}

void loadgen_stop(struct loadgen *g)
{
    atomic_store(&g->run.stopping, true);
}

static void add_thread(struct loadgen_snapshot *s, struct iothread *t, double *busiest_ns)
{
    int64_t last_ns = atomic_load_explicit(&t->last_completed_ns, memory_order_relaxed);
    int64_t cpu_ns = atomic_load_explicit(&t->cpu_ns, memory_order_relaxed);
    s->requests += atomic_load_explicit(&t->requests, memory_order_relaxed);
    s->successes += atomic_load_explicit(&t->successes, memory_order_relaxed);
    s->abandoned += atomic_load_explicit(&t->abandoned, memory_order_relaxed);
    s->late_starts += atomic_load_explicit(&t->late_starts, memory_order_relaxed);
    s->cpu_ns += cpu_ns;
    uint64_t least = atomic_load_explicit(&t->least_worker_requests, memory_order_relaxed);
    uint64_t most = atomic_load_explicit(&t->most_worker_requests, memory_order_relaxed);
    if (least < s->least_worker_requests)
        s->least_worker_requests = least;
    if (most > s->most_worker_requests)
        s->most_worker_requests = most;
    if (last_ns > s->last_completed_ns)
        s->last_completed_ns = last_ns;
    if ((double)cpu_ns > *busiest_ns)
        *busiest_ns = (double)cpu_ns;
    failures_merge(&s->burn_in_failures, &t->burn_in_failures);
    failures_merge(&s->failures, &t->failures);
    histogram_merge(&s->latencies, &t->latencies);
    if (t->run->schedule.interval_ns > 0)
        histogram_merge(&s->service_latencies, &t->service_latencies);
}

void loadgen_read(struct loadgen *g, struct loadgen_snapshot *s)
{
    double busiest_ns = 0;
    memset(s, 0, sizeof *s);
    s->least_worker_requests = UINT64_MAX; /* every thread has a worker */
    histogram_reset(&s->latencies);
    if (g->run.schedule.interval_ns > 0)
        histogram_reset(&s->service_latencies);
    s->started_ns = g->started_ns;
    s->measured_from_ns = atomic_load(&g->run.measured_from_ns);
    for (uint32_t i = 0; i < g->run.config.threads; i++)
        add_thread(s, &g->threads[i], &busiest_ns);
    if (s->last_completed_ns > s->measured_from_ns)
        s->busiest_thread = busiest_ns / (double)(s->last_completed_ns - s->measured_from_ns);
}

void loadgen_want_sample(struct loadgen *g)
{
    int none = SAMPLE_NONE;
    atomic_compare_exchange_strong(&g->run.sample_state, &none, SAMPLE_WANTED);
}

bool loadgen_take_sample(struct loadgen *g, char *output, uint64_t *tensor)
{
    if (atomic_load(&g->run.sample_state) != SAMPLE_READY)
        return false;
    memcpy(output, g->run.sample, g->run.config.output_bytes);
    *tensor = g->run.sample_tensor;
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
    free(g->run.sample);
    free(g);
}
