#include "iothread.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"

#define EVENTS_AT_ONCE 64
#define TICK_MAX_NS (100 * NS_PER_MS) /* how late a stop or a time-out may be noticed */
#define REST_NS (50 * NS_PER_MS)

static void worker_next(struct iothread *t, struct worker *w);

static inline void bump(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static int watch(struct iothread *t, struct worker *w)
{
    /* Edge-triggered and both ways, so that a worker costs one epoll_ctl for its whole life. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = w};
    return epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, connection_fd(&w->connection), &event);
}

/* What may stand in a connection's buffer: all replies outstanding, or the part of one that came
 * and what is read on top of it. */
static size_t unjudged_bytes_max(const struct loadgen_config *config)
{
    size_t all = config->pipeline * (config->output_bytes + CONNECTION_REPLY_HEAD_BYTES);
    size_t read_on_top = config->output_bytes + CONNECTION_RECEIVE_BYTES;
    return all < read_on_top ? all : read_on_top;
}

static int open_and_watch(struct iothread *t, struct worker *w, errstr_t errstr)
{
    const struct loadgen_config *config = &t->run->config;
    w->connection.check = &w->check;
    w->answered = false;
    w->queued_bytes = 0;
    if (connection_open(&w->connection, &config->endpoint, unjudged_bytes_max(config), errstr) < 0)
        return -1;
    if (watch(t, w) < 0) {
        snprintf(errstr, ERRSTR_BYTES, "epoll: %s", strerror(errno));
        return -1;
    }
    return 0;
}

static void worker_end(struct iothread *t, struct worker *w)
{
    connection_close(&w->connection);
    w->phase = WORKER_ENDED;
    t->workers_running--;
}

static bool sample_claim(struct run_state *run)
{
    int wanted = SAMPLE_WANTED;
    return atomic_load_explicit(&run->sample_state, memory_order_relaxed) == SAMPLE_WANTED &&
           atomic_compare_exchange_strong(&run->sample_state, &wanted, SAMPLE_TAKEN);
}

static void sample_finish(struct run_state *run, struct worker *w, bool arrived)
{
    if (arrived && w->output)
        memcpy(run->sample, w->output, run->config.output_bytes);
    atomic_store(&run->sample_state, arrived ? SAMPLE_READY : SAMPLE_WANTED);
}

static struct request *oldest(struct worker *w)
{
    return &w->requests[w->oldest];
}

static uint64_t first_tensor(const struct loadgen_config *config, const struct request *request)
{
    return (config->first_tensor + request->number * config->batch) %
           config->tensors->tensor_count;
}

/* Compare the output with the references of the tensors that were sent. */
static void compare(const struct loadgen_config *config, struct worker *w)
{
    uint64_t first = first_tensor(config, oldest(w));
    size_t values = config->output_bytes / config->batch / sizeof(float);
    const float *found = (const float *)w->output;
    for (uint64_t i = 0; i < config->batch; i++) {
        uint64_t tensor = (first + i) % config->tensors->tensor_count;
        const float *wanted = (const float *)config->references + tensor * values;
        for (size_t v = 0; v < values; v++, found++)
            if (!(fabsf(*found - wanted[v]) <= config->tolerance)) { /* so that NaN differs */
                replycheck_fail(&w->check, FAILURE_WRONG_OUTPUT,
                                "tensor %llu, value %zu: %g, the reference has %g",
                                (unsigned long long)tensor, v, (double)*found, (double)wanted[v]);
                return;
            }
    }
}

/* Count the oldest request, which just ended, in the phase that it ended in. */
static void count(struct iothread *t, struct worker *w, int64_t now_ns)
{
    struct run_state *run = t->run;
    uint64_t order = atomic_fetch_add_explicit(&run->completions, 1, memory_order_relaxed);
    bool measured = order >= run->config.burn_in_requests;
    bool failed = w->check.kind != FAILURE_NONE;

    bump(&t->requests);
    if (order + 1 == run->config.burn_in_requests)
        atomic_store_explicit(&run->measured_from_ns, now_ns, memory_order_relaxed);
    if (failed)
        failures_record(measured ? &t->failures : &t->burn_in_failures, w->check.kind,
                        w->check.message, now_ns);
    if (!measured)
        return;
    if (t->cpu_from_ns == 0)
        t->cpu_from_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    atomic_store_explicit(&t->last_completed_ns, now_ns, memory_order_relaxed);
    w->measured++;
    if (w->late)
        bump(&t->late_starts);
    if (!failed) {
        int64_t due_ns = w->waiter.due_ns, started_ns = oldest(w)->started_ns;
        histogram_record(&t->latencies, now_ns - (due_ns ? due_ns : started_ns));
        if (due_ns)
            histogram_record(&t->service_latencies, now_ns - started_ns);
        bump(&t->successes);
    }
}

/* A server that takes connections only to cut them would otherwise be kept busy by that alone, and
 * the workers that it does answer would measure it. */
static void worker_rest(struct worker *w, int64_t now_ns)
{
    w->phase = WORKER_RESTING;
    w->since_ns = now_ns;
}

/* Judge from now on the replies to the oldest request. */
static void judge_oldest(struct iothread *t, struct worker *w)
{
    w->check.plan = &t->run->config.plan;
    replycheck_start(&w->check, w->output              ? w->output
                                : oldest(w)->samples ? t->run->sample
                                                     : NULL);
}

/* The oldest request ended, as its check says. */
static void request_done(struct iothread *t, struct worker *w)
{
    struct run_state *run = t->run;
    int64_t now_ns = monotonic_ns();
    if (w->output && w->check.kind == FAILURE_NONE)
        compare(&run->config, w); /* after the clock was read */
    bool failed = w->check.kind != FAILURE_NONE;
    count(t, w, now_ns);
    if (oldest(w)->samples)
        sample_finish(run, w, !failed);
    if (failed && (run->config.stop_on_failure || w->check.kind == FAILURE_TENSOR_FILE))
        atomic_store_explicit(&run->stopping, true, memory_order_relaxed);
    w->oldest = (w->oldest + 1) % run->config.pipeline;
    w->outstanding--;
    if (w->outstanding > 0)
        judge_oldest(t, w);
}

/* The oldest request failed, as its check says, and its connection with it, and with that the
 * others that were outstanding on it. */
static void worker_lost(struct iothread *t, struct worker *w)
{
    enum failure_kind cause = w->check.kind;
    connection_close(&w->connection);
    request_done(t, w);
    while (w->outstanding > 0) {
        replycheck_fail(&w->check, FAILURE_CONNECTION_LOST,
                        "lost with its connection, on which an earlier request failed");
        request_done(t, w);
    }
    /* A server that cannot be reached again has gone: trying on would only count refusals. */
    if (cause == FAILURE_CONNECT)
        worker_end(t, w);
    else if (!w->answered)
        worker_rest(w, monotonic_ns());
    else
        worker_next(t, w);
}

static bool run_is_over(struct run_state *run)
{
    int64_t from_ns = atomic_load_explicit(&run->measured_from_ns, memory_order_relaxed);
    return atomic_load_explicit(&run->stopping, memory_order_relaxed) ||
           (run->config.duration_ns && from_ns &&
            monotonic_ns() - from_ns >= run->config.duration_ns);
}

/* Put the run's next request into the ring, which has room; NULL where the run has no more. */
static struct request *take_request(struct iothread *t, struct worker *w)
{
    struct run_state *run = t->run;
    if (run_is_over(run))
        return NULL;
    uint64_t number = atomic_fetch_add_explicit(&run->next_request, 1, memory_order_relaxed);
    if (run->config.max_requests && number >= run->config.max_requests)
        return NULL;
    struct request *request =
        &w->requests[(w->oldest + w->outstanding) % run->config.pipeline];
    *request = (struct request){.number = number};
    w->outstanding++;
    return request;
}

/* Queue what a request sends, behind what is queued already. */
static void request_queue(struct iothread *t, struct worker *w, struct request *request,
                          int64_t now_ns)
{
    const struct loadgen_config *config = &t->run->config;
    const struct request_text *text = w->text;
    uint64_t first = first_tensor(config, request);
    struct iovec *iov = w->iov + w->iov_count;
    size_t used = 0;

    iov[used++] = (struct iovec){(void *)text->prefix, text->prefix_bytes};
    used += tensormap_batch(config->tensors, first, config->batch, iov + used);
    iov[used++] = (struct iovec){(void *)text->suffix, text->suffix_bytes};
    w->iov_count += used;
    w->queued_bytes +=
        text->prefix_bytes + config->batch * config->tensors->tensor_bytes + text->suffix_bytes;
    request->end_byte = w->queued_bytes;
    request->started_ns = now_ns;
    request->samples = sample_claim(t->run);
    if (request->samples)
        t->run->sample_tensor = first;
    if (request == oldest(w))
        judge_oldest(t, w);
}

/* Queue as many more requests as the connection may have outstanding. */
static void worker_fill(struct iothread *t, struct worker *w)
{
    int64_t now_ns = 0;
    w->iov = w->iov_all;
    while (w->outstanding < t->run->config.pipeline) {
        struct request *request = take_request(t, w);
        if (request == NULL)
            return;
        if (now_ns == 0)
            now_ns = monotonic_ns();
        request_queue(t, w, request, now_ns);
    }
}

/* Send what is queued and, once all of it went, what more there may be. */
static void worker_send(struct iothread *t, struct worker *w)
{
    while (w->iov_count > 0) {
        enum io_status status = connection_send(&w->connection, &w->iov, &w->iov_count);
        if (status == IO_FAILED)
            worker_lost(t, w);
        if (status != IO_DONE)
            return;
        worker_fill(t, w);
    }
}

/* The request that was taken goes out on the connection, which has no other, and more behind it. */
static void worker_start(struct iothread *t, struct worker *w)
{
    w->phase = WORKER_BUSY;
    w->iov = w->iov_all;
    w->iov_count = 0;
    request_queue(t, w, oldest(w), monotonic_ns());
    worker_fill(t, w); /* before anything is sent, so that all of it goes at once */
    worker_send(t, w);
}

/* Start the worker's request, on a new connection where the old one was lost. */
static void worker_begin(struct iothread *t, struct worker *w)
{
    errstr_t errstr;
    if (w->connection.context) {
        worker_start(t, w);
        return;
    }
    replycheck_start(&w->check, NULL);
    w->phase = WORKER_CONNECTING;
    w->since_ns = monotonic_ns();
    if (open_and_watch(t, w, errstr) < 0) {
        replycheck_fail(&w->check, FAILURE_CONNECT, "connecting again: %s", errstr);
        worker_lost(t, w);
    }
}

/* Give the worker, which has no request, its next, at once or when it is due, or end it. */
static void worker_next(struct iothread *t, struct worker *w)
{
    const struct request *request = take_request(t, w);
    if (request == NULL) {
        worker_end(t, w);
        return;
    }
    w->waiter.due_ns = schedule_due_ns(&t->run->schedule, request->number);
    w->late = w->waiter.due_ns && w->waiter.due_ns < monotonic_ns();
    if (w->waiter.due_ns && !w->late) {
        w->phase = WORKER_WAITING;
        waiting_line_push(&t->line, &w->waiter);
    } else {
        worker_begin(t, w);
    }
}

/* Start the requests that are due, or end all that wait when the run is over. */
static void release_waiting(struct iothread *t)
{
    bool over = run_is_over(t->run);
    struct waiter *waiter;
    while ((waiter = waiting_line_pop(&t->line, over ? INT64_MAX : monotonic_ns())) != NULL) {
        struct worker *w = (struct worker *)((char *)waiter - offsetof(struct worker, waiter));
        if (over)
            worker_end(t, w);
        else
            worker_begin(t, w);
    }
}

static void greeting_prepare(const struct loadgen_config *config, struct worker *w)
{
    static const struct reply_plan plan = {.count = 1, .expected = {{.type = REPLY_STATUS}}};
    w->phase = WORKER_GREETING;
    w->iov = w->iov_all;
    w->iov[0] = (struct iovec){(void *)config->greeting, config->greeting_bytes};
    w->iov_count = 1;
    w->check.plan = &plan;
    replycheck_start(&w->check, NULL);
}

/* A connection that cannot be greeted is as good as none. */
static void greeting_failed(struct iothread *t, struct worker *w)
{
    w->check.kind = FAILURE_CONNECT;
    worker_lost(t, w);
}

static void worker_connected(struct iothread *t, struct worker *w)
{
    errstr_t errstr;
    if (connection_ready(&w->connection, errstr) < 0) {
        replycheck_fail(&w->check, FAILURE_CONNECT, "connecting again: %s", errstr);
        worker_lost(t, w);
    } else if (t->run->config.greeting == NULL) {
        worker_start(t, w);
    } else {
        greeting_prepare(&t->run->config, w);
        if (connection_send(&w->connection, &w->iov, &w->iov_count) == IO_FAILED)
            greeting_failed(t, w);
    }
}

static void worker_greeted(struct iothread *t, struct worker *w)
{
    enum io_status status = connection_receive(&w->connection);
    if (status == IO_AGAIN)
        return;
    if (status == IO_FAILED || w->check.kind != FAILURE_NONE)
        greeting_failed(t, w);
    else
        worker_start(t, w);
}

/* The oldest request's last reply is whole: nothing may speak against that it is the answer. */
static bool may_be_answer(struct worker *w)
{
    if (w->connection.sent_bytes < oldest(w)->end_byte)
        replycheck_fail(&w->check, FAILURE_PROTOCOL, "answered before the request was sent");
    else if (w->outstanding == 1 && connection_has_unjudged(&w->connection))
        replycheck_fail(&w->check, FAILURE_PROTOCOL, "more replies than the request has commands");
    else
        return true;
    return false;
}

static void worker_receive(struct iothread *t, struct worker *w)
{
    enum io_status status = IO_DONE;
    while (w->outstanding > 0 && status == IO_DONE) {
        status = connection_receive(&w->connection);
        if (status == IO_FAILED || (status == IO_DONE && !may_be_answer(w))) {
            worker_lost(t, w);
            return;
        }
        if (status == IO_DONE) {
            request_done(t, w);
            w->answered = true;
        }
    }
    if (w->outstanding == 0) {
        worker_next(t, w);
    } else if (w->iov_count == 0) {
        worker_fill(t, w);
        worker_send(t, w);
    }
}

static void worker_event(struct iothread *t, struct worker *w, uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP))
        w->connection.hung_up = true;
    if (w->phase == WORKER_CONNECTING) {
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
            worker_connected(t, w);
        return;
    }
    if (w->phase == WORKER_GREETING) {
        worker_greeted(t, w);
        return;
    }
    if (w->phase == WORKER_BUSY && w->iov_count > 0 && (events & (EPOLLOUT | EPOLLERR)))
        worker_send(t, w);
    if (w->phase == WORKER_BUSY && (events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP)))
        worker_receive(t, w);
}

static void expire_overdue(struct iothread *t, int64_t now_ns)
{
    const struct loadgen_config *config = &t->run->config;
    for (uint32_t i = 0; i < t->worker_count; i++) {
        struct worker *w = &t->workers[i];
        if (w->phase == WORKER_BUSY &&
            now_ns - oldest(w)->started_ns > config->reply_timeout_ns) {
            replycheck_fail(&w->check, FAILURE_CLIENT_TIMEOUT, "no whole answer within %lld ms",
                            (long long)(config->reply_timeout_ns / NS_PER_MS));
            worker_lost(t, w);
        } else if ((w->phase == WORKER_CONNECTING || w->phase == WORKER_GREETING) &&
                   now_ns - w->since_ns > config->connect_timeout_ns) {
            replycheck_fail(&w->check, FAILURE_CONNECT, "connecting again took over %lld ms",
                            (long long)(config->connect_timeout_ns / NS_PER_MS));
            worker_lost(t, w);
        } else if (w->phase == WORKER_RESTING && now_ns - w->since_ns > REST_NS) {
            worker_next(t, w);
        }
    }
}

static int64_t tick_ns(const struct loadgen_config *config)
{
    int64_t tick = config->reply_timeout_ns / 10;
    return tick < NS_PER_MS ? NS_PER_MS : tick > TICK_MAX_NS ? TICK_MAX_NS : tick;
}

static void drive(struct iothread *t)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int64_t tick = tick_ns(&t->run->config);
    for (uint32_t i = 0; i < t->worker_count; i++)
        worker_next(t, &t->workers[i]);
    while (t->workers_running > 0 &&
           !atomic_load_explicit(&t->run->stopping, memory_order_relaxed)) {
        waiting_line_arm(&t->line);
        int ready = epoll_wait(t->epoll_fd, events, EVENTS_AT_ONCE, (int)(tick / NS_PER_MS));
        for (int i = 0; i < ready; i++)
            if (events[i].data.ptr != NULL) /* that is the line's timer, which says no more */
                worker_event(t, events[i].data.ptr, events[i].events);
        if (t->line.first)
            release_waiting(t);
        int64_t now_ns = monotonic_ns();
        if (now_ns >= t->next_expiry_check_ns) {
            expire_overdue(t, now_ns);
            t->next_expiry_check_ns = now_ns + tick;
        }
    }
}

static bool under_way(const struct worker *w)
{
    return w->phase == WORKER_CONNECTING || w->phase == WORKER_GREETING || w->phase == WORKER_BUSY;
}

/* What only the end tells. */
static void sum_up(struct iothread *t)
{
    uint64_t abandoned = 0, least = UINT64_MAX, most = 0;
    for (uint32_t i = 0; i < t->worker_count; i++) {
        const struct worker *w = &t->workers[i];
        abandoned += under_way(w) ? w->outstanding : 0;
        least = w->measured < least ? w->measured : least;
        most = w->measured > most ? w->measured : most;
    }
    atomic_store(&t->abandoned, abandoned);
    atomic_store(&t->least_worker_requests, least);
    atomic_store(&t->most_worker_requests, most);
    if (t->cpu_from_ns)
        atomic_store(&t->cpu_ns, clock_ns(CLOCK_THREAD_CPUTIME_ID) - t->cpu_from_ns);
}

void *iothread_main(void *iothread)
{
    struct iothread *t = iothread;
    struct run_state *run = t->run;
    drive(t);
    sum_up(t);
    pthread_mutex_lock(&run->mutex);
    run->threads_running--;
    pthread_cond_signal(&run->ended);
    pthread_mutex_unlock(&run->mutex);
    return NULL;
}

/* Greet before the clock starts, where waiting harms nobody. */
static int greet_and_wait(const struct loadgen_config *config, struct worker *w, errstr_t errstr)
{
    int64_t until_ns = monotonic_ns() + config->connect_timeout_ns;
    enum io_status status = IO_AGAIN;
    greeting_prepare(config, w);
    while (status == IO_AGAIN && monotonic_ns() < until_ns) {
        status = connection_send(&w->connection, &w->iov, &w->iov_count);
        if (status == IO_DONE)
            status = connection_receive(&w->connection);
        if (status == IO_AGAIN) {
            struct pollfd waited = {connection_fd(&w->connection), POLLIN, 0};
            poll(&waited, 1, 10);
        }
    }
    if (status == IO_DONE && w->check.kind == FAILURE_NONE)
        return 0;
    snprintf(errstr, ERRSTR_BYTES, "%s",
             status == IO_AGAIN ? "no answer to the log-in within the time allowed"
                                : w->check.message);
    return -1;
}

static int worker_init(struct iothread *t, struct worker *w, const struct request_text *text,
                       errstr_t errstr)
{
    const struct loadgen_config *config = &t->run->config;
    size_t iovecs = 2 + tensormap_batch_iovecs(config->tensors, config->batch);
    w->text = text;
    w->requests = calloc(config->pipeline, sizeof *w->requests);
    w->iov_all = calloc(config->pipeline * iovecs, sizeof *w->iov_all);
    w->output = config->references ? malloc(config->output_bytes) : NULL;
    if (w->requests == NULL || w->iov_all == NULL || (config->references && w->output == NULL)) {
        snprintf(errstr, ERRSTR_BYTES, "out of memory");
        return -1;
    }
    if (open_and_watch(t, w, errstr) < 0)
        return -1;
    int timeout_ms = (int)(config->connect_timeout_ns / NS_PER_MS);
    if (connection_await(&w->connection, timeout_ms, errstr) < 0)
        return -1;
    return config->greeting ? greet_and_wait(config, w, errstr) : 0;
}

int iothread_init(struct iothread *t, struct run_state *run, const struct request_text *texts,
                  uint32_t worker_count, errstr_t errstr)
{
    t->run = run;
    histogram_reset(&t->latencies);
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    t->workers = calloc(worker_count, sizeof *t->workers);
    if (t->epoll_fd < 0 || t->workers == NULL) {
        snprintf(errstr, ERRSTR_BYTES, "cannot make an I/O thread: %s", strerror(errno));
        return -1;
    }
    if (run->schedule.interval_ns > 0) {
        histogram_reset(&t->service_latencies); /* without a limit its memory is never touched */
        if (waiting_line_open(&t->line, t->epoll_fd, errstr) < 0)
            return -1;
    }
    t->worker_count = worker_count;
    t->workers_running = worker_count;
    for (uint32_t i = 0; i < worker_count; i++)
        if (worker_init(t, &t->workers[i], &texts[i], errstr) < 0)
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
    waiting_line_close(&t->line);
    if (t->epoll_fd >= 0)
        close(t->epoll_fd);
}
