#include "iothread.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"
#include "connecting.h"
#include "counting.h"
#include "requests.h"
#include "schedstat.h"
#include "streams.h"
#include "tokenstream.h"

#define EVENTS_AT_ONCE 64
#define TICK_MAX_NS (100 * NS_PER_MS) /* how late a stop or a timeout may be noticed */
#define RESTING_TICK_NS (10 * NS_PER_MS)
#define ROUNDS_A_CLOCK 16

/* Start the requests that are due. When the run is over, end all workers that wait. */
static void release_waiting(struct iothread *t)
{
    /* The clock comes first: a request that is due only after the end must not count as due. */
    int64_t now_ns = monotonic_ns();
    bool over = run_is_over(t->run);
    struct waiter *waiter;
    while ((waiter = waiting_line_pop(&t->line, over ? INT64_MAX : now_ns)) != NULL) {
        struct worker *w = (struct worker *)((char *)waiter - offsetof(struct worker, waiter));
        struct request *request = oldest(w);
        if (over) {
            worker_end_unsent(t, w);
        } else if (drop_too_late(t, w, request)) {
            count_woken_late(t, request, now_ns);
            worker_next(t, w);
        } else {
            worker_begin(t, w);
        }
    }
    atomic_store_explicit(&t->waits, t->line.first != NULL, memory_order_relaxed);
}

static void worker_event(struct iothread *t, struct worker *w, uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP))
        w->connection.hung_up = true;
    if (w->phase != WORKER_BUSY) {
        if (w->phase == WORKER_STREAMING)
            streams_event(t, w, events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP));
        else if (w->phase == WORKER_CONNECTING)
            worker_connected(t, w);
        else if (w->phase == WORKER_GREETING)
            worker_greeted(t, w);
        else if (w->phase == WORKER_WAITING && t->run->config.protocol->streams)
            streams_idle(t, w);
        return;
    }
    if (w->iov_count > 0 && (events & (EPOLLOUT | EPOLLERR)))
        worker_send(t, w);
    /* With TLS, receiving may have waited until it could send. */
    if (w->phase == WORKER_BUSY && ((events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP)) ||
                                    w->connection.transport.tls != NULL))
        worker_receive(t, w);
}

static bool is_overdue(const struct worker *w, const struct loadgen_config *config, int64_t now_ns)
{
    return now_ns - oldest(w)->started_ns > config->reply_timeout_ns;
}

static void expire_overdue(struct iothread *t, int64_t now_ns)
{
    const struct loadgen_config *config = &t->run->config;
    for (uint32_t i = 0; i < t->worker_count; i++) {
        struct worker *w = &t->workers[i];
        if (w->phase == WORKER_BUSY) {
            /* The end of what the peer sends may have come before the request was sent. */
            if (w->connection.hung_up)
                worker_receive(t, w);
            else if (is_overdue(w, config, now_ns)) {
                worker_receive(t, w); /* the reply may have come while this thread had no time */
                if (w->phase != WORKER_BUSY || !is_overdue(w, config, now_ns))
                    continue;
                replycheck_fail(&w->check, FAILURE_CLIENT_TIMEOUT, "no complete answer within %lld ms",
                                (long long)(config->reply_timeout_ns / NS_PER_MS));
                worker_lost(t, w);
            }
        } else if (w->phase == WORKER_STREAMING) {
            streams_expire(t, w, now_ns);
        } else if (w->phase == WORKER_CONNECTING || w->phase == WORKER_GREETING) {
            if (ends_unsent(t, w)) {
                worker_end_unsent(t, w);
            } else if (now_ns - w->since_ns > config->connect_timeout_ns) {
                replycheck_fail(&w->check, FAILURE_CONNECT, "reconnecting took over %lld ms",
                                (long long)(config->connect_timeout_ns / NS_PER_MS));
                connect_failed(t, w);
            }
        } else if (w->phase == WORKER_RESTING &&
                   (now_ns >= w->rests_until_ns || ends_unsent(t, w))) {
            worker_rested(t, w);
        }
    }
}

static int64_t tick_ns(const struct run_state *run)
{
    int64_t tick = run->shortest_timeout_ns / 10;
    return tick < NS_PER_MS ? NS_PER_MS : tick > TICK_MAX_NS ? TICK_MAX_NS : tick;
}

static void drive(struct iothread *t)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int64_t usual_tick_ns = tick_ns(t->run);
    for (uint32_t i = 0; i < t->worker_count; i++)
        worker_next(t, &t->workers[i]);
    while (t->workers_running > 0 &&
           !atomic_load_explicit(&t->run->stopping, memory_order_relaxed)) {
        int64_t tick = t->workers_resting ? RESTING_TICK_NS : usual_tick_ns;
        waiting_line_arm(&t->line);
        int ready = epoll_wait(t->epoll_fd, events, EVENTS_AT_ONCE, (int)(tick / NS_PER_MS));
        for (int i = 0; i < ready; i++)
            if (events[i].data.ptr != NULL) /* NULL is the line's timer, which only wakes */
                worker_event(t, events[i].data.ptr, events[i].events);
        if (t->line.first)
            release_waiting(t);
        /* A request that was sent or answered has just read the clock. */
        if (ready == 0 || t->rounds++ % ROUNDS_A_CLOCK == 0)
            read_clock(t);
        if (t->clock_ns >= t->next_expiry_check_ns) {
            expire_overdue(t, t->clock_ns);
            t->next_expiry_check_ns = t->clock_ns + tick;
        }
    }
}

/* Return how many of a worker's requests were sent and not answered when the run ended. */
static uint64_t abandoned_by(const struct worker *w, uint32_t pipeline)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < w->outstanding; i++)
        count += w->requests[(w->oldest + i) % pipeline].started_ns != 0;
    return count;
}

/* Count what is known only at the end. */
static void sum_up(struct iothread *t)
{
    uint64_t abandoned = 0, least = UINT64_MAX, most = 0;
    for (uint32_t i = 0; i < t->worker_count; i++) {
        struct worker *w = &t->workers[i];
        abandoned += abandoned_by(w, t->run->config.pipeline);
        if (w->phase == WORKER_STREAMING)
            streams_abandoned(t, w);
        if (w->outstanding > 0 && oldest(w)->started_ns == 0) /* the run was stopped before it was sent */
            note_unsent(t, w);
        least = w->measured < least ? w->measured : least;
        most = w->measured > most ? w->measured : most;
    }
    counter_add(&t->counted.counters.abandoned, abandoned);
    atomic_store(&t->least_worker_requests, least);
    atomic_store(&t->most_worker_requests, most);
    int64_t cpu_from_ns = atomic_load_explicit(&t->cpu_from_ns, memory_order_relaxed);
    if (cpu_from_ns)
        atomic_store(&t->cpu_ns, clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_from_ns);
    int64_t wait_from_ns = atomic_load_explicit(&t->cpu_wait_from_ns, memory_order_relaxed);
    if (wait_from_ns >= 0)
        atomic_store(&t->cpu_wait_ns,
                     schedstat_wait_ns(atomic_load(&t->schedstat_fd)) - wait_from_ns);
}

/* Wait until the run starts. In an open loop each request waits until it is due instead. */
static void await_start(const struct run_state *run)
{
    int64_t start_ns = run->schedule.start_ns;
    const struct timespec start = {start_ns / NS_PER_S, start_ns % NS_PER_S};
    if (!schedule_is_open(&run->schedule))
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &start, NULL) == EINTR)
            ;
}

void *iothread_main(void *iothread)
{
    struct iothread *t = iothread;
    struct run_state *run = t->run;
    atomic_store_explicit(&t->schedstat_fd, schedstat_open(), memory_order_release);
    await_start(run);
    atomic_store_explicit(&t->began_ns, monotonic_ns(), memory_order_relaxed);
    drive(t);
    sum_up(t);
    pthread_mutex_lock(&run->mutex);
    if (run->threads_running == 1)
        count_left_over(t);
    run->threads_running--;
    pthread_cond_signal(&run->ended);
    pthread_mutex_unlock(&run->mutex);
    return NULL;
}

static bool any_references(const struct loadgen_config *config)
{
    for (uint32_t k = 0; k < config->kind_count; k++)
        if (config->kinds[k].references)
            return true;
    return false;
}

static int worker_init(struct iothread *t, struct worker *w, uint32_t index, errstr_t errstr)
{
    const struct loadgen_config *config = &t->run->config;
    bool compared = any_references(config);
    w->index = index;
    w->server = index % config->server_count;
    w->node = config->servers[w->server];
    w->kinds = config->kinds;
    w->requests = calloc(config->pipeline, sizeof *w->requests);
    w->iov_all = calloc(config->pipeline * t->run->pieces_max, sizeof *w->iov_all);
    w->output = compared ? malloc(t->run->output_bytes_max) : NULL;
    if (w->requests == NULL || w->iov_all == NULL || (compared && w->output == NULL)) {
        snprintf(errstr, ERRSTR_BYTES, "out of memory");
        return -1;
    }
    errstr_t why;
    if (worker_connect_first(t, w, why) == 0)
        return 0;
    if (config->server_count == 1)
        snprintf(errstr, ERRSTR_BYTES, "%s", why);
    else
        snprintf(errstr, ERRSTR_BYTES, "%.64s:%d: %.160s", w->node.host, w->node.port, why);
    return -1;
}

static int log_prepare(struct iothread *t, errstr_t errstr)
{
    t->log.room = t->run->config.event_log_entries;
    if (t->log.room == 0)
        return 0;
    t->log.entries = calloc(t->log.room, sizeof *t->log.entries);
    if (t->log.entries != NULL)
        return 0;
    snprintf(errstr, ERRSTR_BYTES, "out of memory");
    return -1;
}

static int token_figures_prepare(struct iothread *t, errstr_t errstr)
{
    uint32_t count = 1 + t->run->parts.total;
    t->tokens = calloc(count, sizeof *t->tokens);
    if (t->tokens == NULL) {
        snprintf(errstr, ERRSTR_BYTES, "out of memory");
        return -1;
    }
    for (uint32_t i = 0; i < count; i++)
        token_figures_init(&t->tokens[i]);
    return 0;
}

static int figures_prepare(struct iothread *t, errstr_t errstr)
{
    uint32_t parts = t->run->parts.total;
    counted_init(&t->counted);
    if (t->run->config.protocol == &tokenstream_protocol && token_figures_prepare(t, errstr) < 0)
        return -1;
    if (parts == 0)
        return 0;
    t->parts = calloc(parts, sizeof *t->parts);
    if (t->parts == NULL) {
        snprintf(errstr, ERRSTR_BYTES, "out of memory");
        return -1;
    }
    for (uint32_t i = 0; i < parts; i++)
        figures_init(&t->parts[i]);
    return 0;
}

int iothread_init(struct iothread *t, struct run_state *run, uint32_t first_worker,
                  uint32_t worker_count, errstr_t errstr)
{
    t->run = run;
    atomic_init(&t->cpu_wait_from_ns, -1);
    atomic_init(&t->cpu_wait_ns, -1);
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    t->workers = calloc(worker_count, sizeof *t->workers);
    if (t->epoll_fd < 0 || t->workers == NULL) {
        snprintf(errstr, ERRSTR_BYTES, "cannot create an I/O thread: %s", strerror(errno));
        return -1;
    }
    if (figures_prepare(t, errstr) < 0 || log_prepare(t, errstr) < 0)
        return -1;
    t->shared = run->config.protocol->share ? run->config.protocol->share() : NULL;
    if (run->config.protocol->share && t->shared == NULL) {
        snprintf(errstr, ERRSTR_BYTES, "out of memory");
        return -1;
    }
    if (schedule_has_waits(&run->schedule) && waiting_line_open(&t->line, t->epoll_fd, errstr) < 0)
        return -1;
    t->worker_count = worker_count;
    t->workers_running = worker_count;
    for (uint32_t i = 0; i < worker_count; i++)
        if (worker_init(t, &t->workers[i], first_worker + i, errstr) < 0)
            return -1;
    return 0;
}

void iothread_free(struct iothread *t)
{
    for (uint32_t i = 0; i < t->worker_count; i++) {
        connection_close(&t->workers[i].connection);
        free(t->workers[i].requests);
        free(t->workers[i].iov_all);
        free(t->workers[i].output);
    }
    free(t->workers);
    free(t->parts);
    free(t->tokens);
    free(t->log.entries);
    free(t->shared);
    waiting_line_close(&t->line);
    if (t->epoll_fd >= 0)
        close(t->epoll_fd);
    if (t->schedstat_fd >= 0)
        close(t->schedstat_fd);
}
