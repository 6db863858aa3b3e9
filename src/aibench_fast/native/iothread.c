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
#define RESTING_TICK_NS (10 * NS_PER_MS)
#define ROUNDS_A_CLOCK 16
/* Kept out of the way of a closed loop's requests, where every instruction is counted. */
#define OUT_OF_LINE __attribute__((noinline, cold))

static void worker_next(struct iothread *t, struct worker *w);
static void worker_begin(struct iothread *t, struct worker *w);

static inline int64_t read_clock(struct iothread *t)
{
    return t->clock_ns = monotonic_ns();
}

static int watch(struct iothread *t, struct worker *w)
{
    /* Edge-triggered and both ways, so that a worker costs one epoll_ctl for its whole life. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = w};
    return epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, w->connection.transport.fd, &event);
}

/* What may stand in a connection's buffer: all replies outstanding, or the part of one that came
 * and what is read on top of it. */
static size_t unjudged_bytes_max(const struct run_state *run)
{
    size_t all = run->config.pipeline * run->reply_bytes_max;
    size_t read_on_top = run->reply_bytes_max + CONNECTION_RECEIVE_BYTES;
    return all < read_on_top ? all : read_on_top;
}

static int open_and_watch(struct iothread *t, struct worker *w, errstr_t errstr)
{
    const struct loadgen_config *config = &t->run->config;
    w->connection.protocol = config->protocol;
    w->connection.check = &w->check;
    w->answered = false;
    w->queued_bytes = 0;
    if (connection_open(&w->connection, &config->endpoint, unjudged_bytes_max(t->run), errstr) < 0)
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
        memcpy(run->sample, w->output, w->requests[w->oldest].kind->output_bytes);
    atomic_store(&run->sample_state, arrived ? SAMPLE_READY : SAMPLE_WANTED);
}

static struct request *oldest(struct worker *w)
{
    return &w->requests[w->oldest];
}

/* Compare the output with the references of the tensors that were sent. */
static void compare(struct worker *w)
{
    const struct request_kind *kind = oldest(w)->kind;
    uint64_t tensors = kind->inputs[0]->tensor_count;
    uint64_t first = kind_first_tensor(kind, kind->inputs[0], oldest(w)->arrival.number);
    size_t values = kind->output_bytes / kind->batch / sizeof(float);
    const float *found = (const float *)w->output;
    for (uint64_t i = 0; i < kind->batch; i++) {
        uint64_t tensor = (first + i) % tensors;
        const float *wanted = (const float *)kind->references + tensor * values;
        for (size_t v = 0; v < values; v++, found++)
            if (!(fabsf(*found - wanted[v]) <= kind->tolerance)) { /* so that NaN differs */
                replycheck_fail(&w->check, FAILURE_WRONG_OUTPUT,
                                "tensor %llu, value %zu: %g, the reference has %g",
                                (unsigned long long)tensor, v, (double)*found, (double)wanted[v]);
                return;
            }
    }
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
static void record(struct iothread *t, const struct request *request, const struct outcome *outcome)
{
    figures_record(&t->measured, outcome);
    if (t->kinds != NULL)
        figures_record(&t->kinds[request->kind - t->run->config.kinds], outcome);
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

/* Count the oldest request, which just ended. */
static void count(struct iothread *t, struct worker *w, int64_t now_ns)
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
    record(t, request, &outcome);
}

static void worker_rest(struct iothread *t, struct worker *w, int64_t until_ns)
{
    w->phase = WORKER_RESTING;
    w->rests_until_ns = until_ns;
    t->workers_resting++;
}

/* Judge from now on the replies to the oldest request. */
static void judge_oldest(struct iothread *t, struct worker *w)
{
    w->check.expected = oldest(w)->kind;
    replycheck_start(&w->check, w->output              ? w->output
                                : oldest(w)->samples ? t->run->sample
                                                     : NULL);
}

/* The oldest request ended, as its check says. */
static void request_done(struct iothread *t, struct worker *w)
{
    struct run_state *run = t->run;
    const struct protocol *protocol = run->config.protocol;
    int64_t now_ns = read_clock(t);
    if (protocol->settle && w->check.kind == FAILURE_NONE)
        protocol->settle(w->connection.reader); /* after the clock was read */
    if (w->output && w->check.kind == FAILURE_NONE && oldest(w)->kind->references)
        compare(w); /* and this */
    bool failed = w->check.kind != FAILURE_NONE;
    count(t, w, now_ns);
    if (oldest(w)->samples)
        sample_finish(run, w, !failed);
    if (failed && (run->config.stop_on_failure || w->check.kind == FAILURE_TENSOR_FILE))
        run_stop(run);
    w->oldest = (w->oldest + 1) % run->config.pipeline;
    w->outstanding--;
    if (w->outstanding > 0)
        judge_oldest(t, w);
}

/* Whether the peer closed an idle connection just when the request was sent, as HTTP lets it: the request
 * goes out once more, as every client of HTTP has it. */
static bool closed_before_reply(struct iothread *t, const struct worker *w)
{
    return t->run->config.protocol->peer_may_close && w->check.kind == FAILURE_CONNECTION_LOST &&
           w->answered && w->connection.received_bytes == w->received_before;
}

/* The oldest request failed, as its check says, and its connection with it, and with that the
 * others that were outstanding on it. */
static void worker_lost(struct iothread *t, struct worker *w)
{
    struct run_state *run = t->run;
    w->lost_ns = monotonic_ns();
    w->attempts = 0;
    connection_close(&w->connection);
    if (closed_before_reply(t, w)) {
        figures_bump(&t->reconnects);
        w->resends = true;
        worker_begin(t, w);
        return;
    }
    if (run->config.stop_on_disconnect && w->check.kind == FAILURE_CONNECTION_LOST)
        run_stop(run);
    request_done(t, w);
    while (w->outstanding > 0) {
        replycheck_fail(&w->check, FAILURE_CONNECTION_LOST,
                        "lost with its connection, on which an earlier request failed");
        request_done(t, w);
    }
    /* A server that takes connections only to cut them would otherwise be kept busy by that alone, and
     * the workers that it does answer would measure it. */
    if (!w->answered)
        worker_rest(t, w, w->lost_ns + REST_NS);
    else
        worker_next(t, w);
}

/* No connection could be made, as the check says: the worker tries again, until it has for too long. The
 * request that it has waits, but one that was sent before was cut. */
OUT_OF_LINE static void connect_failed(struct iothread *t, struct worker *w)
{
    struct run_state *run = t->run;
    const struct loadgen_config *config = &run->config;
    int64_t now_ns = monotonic_ns();
    connection_close(&w->connection);
    outages_attempt_failed(&run->outages, w->lost_ns);
    if (w->attempts == 0)
        w->first_attempt_ns = now_ns;
    if (w->resends) {
        w->resends = false;
        w->check.kind = FAILURE_CONNECTION_LOST;
        if (config->stop_on_disconnect)
            atomic_store_explicit(&run->stopping, true, memory_order_relaxed);
        request_done(t, w);
    }
    if (now_ns - w->first_attempt_ns < config->reconnect_for_ns) {
        int64_t delay_ns = reconnect_delay_ns(w->attempts++, w->index, config->workers);
        worker_rest(t, w, now_ns + delay_ns);
        return;
    }
    if (w->outstanding > 0)
        request_done(t, w);
    worker_end(t, w);
}

static void set_over(struct run_state *run, int64_t over_ns)
{
    int64_t none = 0;
    atomic_compare_exchange_strong(&run->over_ns, &none, over_ns);
}

OUT_OF_LINE void run_stop(struct run_state *run)
{
    set_over(run, monotonic_ns());
    atomic_store(&run->stopping, true);
}

static bool run_is_over(struct run_state *run)
{
    int64_t from_ns = atomic_load_explicit(&run->measured_from_ns, memory_order_relaxed);
    if (run->config.duration_ns && from_ns &&
        monotonic_ns() - from_ns >= run->config.duration_ns) {
        /* Not when that was noticed: what is due in between is none of the run's. */
        set_over(run, from_ns + run->config.duration_ns);
        return true;
    }
    return atomic_load_explicit(&run->stopping, memory_order_relaxed);
}

OUT_OF_LINE static const struct request_kind *draw_kind(const struct run_state *run, uint64_t number)
{
    uint64_t drawn = splitmix_at(run->config.mix_seed, number);
    uint32_t kind = 0;
    while (kind < run->config.kind_count - 1 && drawn >= run->kind_limits[kind])
        kind++;
    return &run->config.kinds[kind];
}

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

/* Put the run's next request into the ring, which has room; NULL where the run has no more. */
static struct request *take_request(struct iothread *t, struct worker *w)
{
    struct run_state *run = t->run;
    struct request *request =
        &w->requests[(w->oldest + w->outstanding) % run->config.pipeline];
    struct arrival *arrival = &request->arrival;
    if (run_is_over(run) || !schedule_next(&run->schedule, arrival))
        return NULL;
    if (run->config.max_requests && arrival->number >= run->config.max_requests)
        return NULL;
    request->started_ns = 0;
    request->kind = run->config.kind_count == 1 ? run->config.kinds
                                                : draw_kind(run, arrival->number);
    w->outstanding++;
    return request;
}

/* Count a request that was taken too late to be sent, and take it back. */
OUT_OF_LINE static void shed(struct iothread *t, struct worker *w, const struct request *request)
{
    if (!is_measured(t->run, &request->arrival)) {
        figures_bump(&t->burn_in_shed);
    } else {
        figures_bump(&t->measured.shed);
        if (t->kinds != NULL)
            figures_bump(&t->kinds[request->kind - t->run->config.kinds].shed);
        if (request->arrival.step != SCHEDULE_NO_STEP)
            figures_bump(&t->steps[request->arrival.step].shed);
    }
    w->outstanding--;
}

/* A request by the schedule starts: is it measured, and how late is it? */
OUT_OF_LINE static void note_start(struct iothread *t, struct worker *w, struct request *request)
{
    int64_t lag_ns = request->started_ns - request->arrival.due_ns;
    request->measured = is_measured(t->run, &request->arrival);
    if (!request->measured)
        return;
    histogram_record(&t->start_lags, lag_ns);
    if (!w->late)
        histogram_record(&t->timer_lags, lag_ns);
}

/* Queue the bytes of a request, behind what is queued already. */
static void queue_bytes(struct worker *w, struct request *request)
{
    const struct request_kind *kind = request->kind;
    const struct request_text *text = kind->texts + (size_t)w->index * (kind->input_count + 1);
    const struct request_text *last = text + kind->input_count;
    const struct tensormap *const *input = kind->inputs;
    struct iovec *iov = w->iov + w->iov_count;
    uint64_t bytes = w->queued_bytes;

    for (; text < last; text++, input++) {
        *iov++ = (struct iovec){(void *)text->bytes, text->count};
        iov += tensormap_batch(*input, kind_first_tensor(kind, *input, request->arrival.number),
                               kind->batch, iov);
        bytes += text->count + tensormap_batch_bytes(*input, kind->batch);
    }
    *iov++ = (struct iovec){(void *)text->bytes, text->count};
    w->iov_count = (size_t)(iov - w->iov);
    w->queued_bytes = bytes + text->count;
    request->end_byte = w->queued_bytes;
}

/* Queue a request, which starts now. */
static void request_queue(struct iothread *t, struct worker *w, struct request *request,
                          int64_t now_ns)
{
    const struct request_kind *kind = request->kind;
    queue_bytes(w, request);
    figures_bump(&t->begun);
    request->started_ns = now_ns;
    if (request->arrival.due_ns)
        note_start(t, w, request);
    request->samples = sample_claim(t->run);
    if (request->samples) {
        t->run->sample_kind = (uint32_t)(kind - t->run->config.kinds);
        t->run->sample_tensor = kind_first_tensor(kind, kind->inputs[0], request->arrival.number);
    }
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
            now_ns = read_clock(t);
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

/* The request goes out again; it started when it first did. */
OUT_OF_LINE static void resend(struct iothread *t, struct worker *w)
{
    w->resends = false;
    queue_bytes(w, oldest(w));
    judge_oldest(t, w);
}

/* The request that was taken goes out on the connection, which has no other, and more behind it. */
static void worker_start(struct iothread *t, struct worker *w)
{
    w->phase = WORKER_BUSY;
    w->lost_ns = 0;
    w->attempts = 0;
    w->iov = w->iov_all;
    w->iov_count = 0;
    w->received_before = w->connection.received_bytes;
    if (w->resends)
        resend(t, w);
    else
        request_queue(t, w, oldest(w), read_clock(t));
    worker_fill(t, w); /* before anything is sent, so that all of it goes at once */
    worker_send(t, w);
}

/* Whether a connection without a request is of no more use, which where a protocol says so is no failure. */
static bool closed_by_peer(struct iothread *t, const struct worker *w)
{
    const struct protocol *protocol = t->run->config.protocol;
    if (!protocol->peer_may_close ||
        !(w->connection.hung_up || protocol->is_last(w->connection.reader)))
        return false;
    figures_bump(&t->reconnects);
    return true;
}

/* Start the worker's request, on a new connection where the old one was lost. */
static void worker_begin(struct iothread *t, struct worker *w)
{
    errstr_t errstr;
    if (connection_is_open(&w->connection) && closed_by_peer(t, w))
        connection_close(&w->connection);
    if (connection_is_open(&w->connection)) {
        worker_start(t, w);
        return;
    }
    replycheck_start(&w->check, NULL);
    w->phase = WORKER_CONNECTING;
    w->since_ns = monotonic_ns();
    if (w->lost_ns == 0)
        w->lost_ns = w->since_ns;
    if (open_and_watch(t, w, errstr) < 0) {
        replycheck_fail(&w->check, FAILURE_CONNECT, "connecting again: %s", errstr);
        connect_failed(t, w);
    }
}

/* Whether the request, which is due by the schedule, is later than may be; if so it is shed, or the
 * run ends with it. */
OUT_OF_LINE static bool is_too_late(struct iothread *t, struct worker *w, const struct request *request)
{
    struct run_state *run = t->run;
    int64_t max_ns = run->config.max_lag_ns;
    if (max_ns == 0 || monotonic_ns() - request->arrival.due_ns <= max_ns)
        return false;
    if (run->config.shed_late) {
        shed(t, w, request);
    } else {
        atomic_store(&run->lag_exceeded, true);
        run_stop(run);
        figures_bump(&t->unsent);
        w->outstanding--;
    }
    return true;
}

/* Give the worker, which has no request, its next, at once or when it is due, or end it. */
static void worker_next(struct iothread *t, struct worker *w)
{
    const struct request *request;
    int64_t free_ns; /* read before it is asked whether the run is over, as in release_waiting */
    do {
        free_ns = schedule_is_open(&t->run->schedule) ? monotonic_ns() : 0;
        request = take_request(t, w);
        if (request == NULL) {
            worker_end(t, w);
            return;
        }
    } while (request->arrival.due_ns && is_too_late(t, w, request));
    w->waiter.due_ns = request->arrival.due_ns;
    w->late = w->waiter.due_ns < free_ns;
    if (w->waiter.due_ns && !w->late) {
        w->phase = WORKER_WAITING;
        waiting_line_push(&t->line, &w->waiter);
    } else {
        worker_begin(t, w);
    }
}

/* The run is over, and the worker's request was not sent; was it due? */
static void note_unsent(struct iothread *t, struct worker *w)
{
    int64_t due_ns = oldest(w)->arrival.due_ns;
    if (due_ns && due_ns < atomic_load_explicit(&t->run->over_ns, memory_order_relaxed))
        figures_bump(&t->unsent);
    w->outstanding = 0;
}

static void worker_end_unsent(struct iothread *t, struct worker *w)
{
    note_unsent(t, w);
    worker_end(t, w);
}

/* Start the requests that are due, or end all that wait when the run is over. */
static void release_waiting(struct iothread *t)
{
    /* Read before it is asked whether the run is over: what is due only then is never taken for due. */
    int64_t now_ns = monotonic_ns();
    bool over = run_is_over(t->run);
    struct waiter *waiter;
    while ((waiter = waiting_line_pop(&t->line, over ? INT64_MAX : now_ns)) != NULL) {
        struct worker *w = (struct worker *)((char *)waiter - offsetof(struct worker, waiter));
        if (over)
            worker_end_unsent(t, w);
        else
            worker_begin(t, w);
    }
}

static void greeting_prepare(const struct loadgen_config *config, struct worker *w)
{
    w->phase = WORKER_GREETING;
    w->iov = w->iov_all;
    w->iov[0] = (struct iovec){(void *)config->greeting, config->greeting_bytes};
    w->iov_count = 1;
    w->check.expected = NULL;
    replycheck_start(&w->check, NULL);
}

/* A connection that cannot be greeted is as good as none. */
static void greeting_failed(struct iothread *t, struct worker *w)
{
    w->check.kind = FAILURE_CONNECT;
    connect_failed(t, w);
}

/* The connection is made: the worker's request goes out on it. */
static void worker_reconnected(struct iothread *t, struct worker *w)
{
    outages_over(&t->run->outages, monotonic_ns());
    worker_start(t, w);
}

static void worker_connected(struct iothread *t, struct worker *w)
{
    errstr_t errstr;
    enum io_status status = transport_ready(&w->connection.transport, errstr);
    if (status == IO_AGAIN)
        return;
    if (status == IO_FAILED) {
        replycheck_fail(&w->check, FAILURE_CONNECT, "connecting again: %s", errstr);
        connect_failed(t, w);
    } else if (t->run->config.greeting == NULL) {
        worker_reconnected(t, w);
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
        worker_reconnected(t, w);
}

/* The oldest request's last reply is whole: nothing may speak against that it is the answer. */
static bool may_be_answer(struct worker *w)
{
    if (w->connection.sent_bytes < oldest(w)->end_byte)
        replycheck_fail(&w->check, FAILURE_PROTOCOL, "answered before the request was sent");
    else if (w->outstanding == 1 && w->connection.has_unjudged)
        replycheck_fail(&w->check, FAILURE_PROTOCOL, "more replies than the request has commands");
    else
        return true;
    return false;
}

/* Keep how long the reply waited for this thread, if that is measured by now. */
OUT_OF_LINE static void note_reply_wait(struct iothread *t, struct worker *w)
{
    if (atomic_load_explicit(&t->run->measured_from_ns, memory_order_relaxed))
        histogram_record(&t->reply_waits, w->connection.reply_wait_ns);
    w->connection.reply_wait_ns = -1;
}

static void worker_receive(struct iothread *t, struct worker *w)
{
    enum io_status status = IO_DONE;
    while (w->outstanding > 0 && status == IO_DONE) {
        status = connection_receive(&w->connection);
        if (w->connection.reply_wait_ns >= 0)
            note_reply_wait(t, w);
        if (status == IO_FAILED || (status == IO_DONE && !may_be_answer(w))) {
            worker_lost(t, w);
            return;
        }
        if (status == IO_DONE) {
            request_done(t, w);
            w->answered = true;
        }
    }
    if (w->outstanding == 0 && closed_by_peer(t, w))
        connection_close(&w->connection);
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
        worker_connected(t, w);
        return;
    }
    if (w->phase == WORKER_GREETING) {
        worker_greeted(t, w);
        return;
    }
    if (w->phase == WORKER_BUSY && w->iov_count > 0 && (events & (EPOLLOUT | EPOLLERR)))
        worker_send(t, w);
    /* By TLS, receiving may have waited for room to send in. */
    if (w->phase == WORKER_BUSY && ((events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP)) ||
                                    w->connection.transport.tls != NULL))
        worker_receive(t, w);
}

/* Whether a worker that has no connection yet has none to wait for: nothing of its request went out. */
static bool ends_unsent(struct iothread *t, const struct worker *w)
{
    return w->outstanding > 0 && !w->resends && run_is_over(t->run);
}

/* A worker that rested connects again, or ends with the run. */
OUT_OF_LINE static void worker_rested(struct iothread *t, struct worker *w)
{
    t->workers_resting--;
    if (ends_unsent(t, w))
        worker_end_unsent(t, w);
    else if (w->outstanding > 0)
        worker_begin(t, w);
    else
        worker_next(t, w);
}

static void expire_overdue(struct iothread *t, int64_t now_ns)
{
    const struct loadgen_config *config = &t->run->config;
    for (uint32_t i = 0; i < t->worker_count; i++) {
        struct worker *w = &t->workers[i];
        if (w->phase == WORKER_BUSY) {
            /* That the peer sends no more may have been told before the request was sent. */
            if (w->connection.hung_up)
                worker_receive(t, w);
            else if (now_ns - oldest(w)->started_ns > config->reply_timeout_ns) {
                replycheck_fail(&w->check, FAILURE_CLIENT_TIMEOUT, "no whole answer within %lld ms",
                                (long long)(config->reply_timeout_ns / NS_PER_MS));
                worker_lost(t, w);
            }
        } else if (w->phase == WORKER_CONNECTING || w->phase == WORKER_GREETING) {
            if (ends_unsent(t, w)) {
                worker_end_unsent(t, w);
            } else if (now_ns - w->since_ns > config->connect_timeout_ns) {
                replycheck_fail(&w->check, FAILURE_CONNECT, "connecting again took over %lld ms",
                                (long long)(config->connect_timeout_ns / NS_PER_MS));
                connect_failed(t, w);
            }
        } else if (w->phase == WORKER_RESTING &&
                   (now_ns >= w->rests_until_ns || ends_unsent(t, w))) {
            worker_rested(t, w);
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
    int64_t usual_tick_ns = tick_ns(&t->run->config);
    for (uint32_t i = 0; i < t->worker_count; i++)
        worker_next(t, &t->workers[i]);
    while (t->workers_running > 0 &&
           !atomic_load_explicit(&t->run->stopping, memory_order_relaxed)) {
        int64_t tick = t->workers_resting ? RESTING_TICK_NS : usual_tick_ns;
        waiting_line_arm(&t->line);
        int ready = epoll_wait(t->epoll_fd, events, EVENTS_AT_ONCE, (int)(tick / NS_PER_MS));
        for (int i = 0; i < ready; i++)
            if (events[i].data.ptr != NULL) /* that is the line's timer, which says no more */
                worker_event(t, events[i].data.ptr, events[i].events);
        if (t->line.first)
            release_waiting(t);
        /* A request that was sent or answered read the clock just now. */
        if (ready == 0 || t->rounds++ % ROUNDS_A_CLOCK == 0)
            read_clock(t);
        if (t->clock_ns >= t->next_expiry_check_ns) {
            expire_overdue(t, t->clock_ns);
            t->next_expiry_check_ns = t->clock_ns + tick;
        }
    }
}

/* How many of a worker's requests went out and were not answered when the run ended. */
static uint64_t abandoned_by(const struct worker *w, uint32_t pipeline)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < w->outstanding; i++)
        count += w->requests[(w->oldest + i) % pipeline].started_ns != 0;
    return count;
}

/* What only the end tells. */
static void sum_up(struct iothread *t)
{
    uint64_t abandoned = 0, least = UINT64_MAX, most = 0;
    for (uint32_t i = 0; i < t->worker_count; i++) {
        struct worker *w = &t->workers[i];
        abandoned += abandoned_by(w, t->run->config.pipeline);
        if (w->outstanding > 0 && oldest(w)->started_ns == 0) /* the run was stopped meanwhile */
            note_unsent(t, w);
        least = w->measured < least ? w->measured : least;
        most = w->measured > most ? w->measured : most;
    }
    atomic_store(&t->abandoned, abandoned);
    atomic_store(&t->least_worker_requests, least);
    atomic_store(&t->most_worker_requests, most);
    int64_t cpu_from_ns = atomic_load_explicit(&t->cpu_from_ns, memory_order_relaxed);
    if (cpu_from_ns)
        atomic_store(&t->cpu_ns, clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_from_ns);
}

/* Wait until the run starts; by a schedule it is its requests that wait, each for when it is due. */
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
    await_start(run);
    atomic_store_explicit(&t->began_ns, monotonic_ns(), memory_order_relaxed);
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
            struct pollfd waited = {w->connection.transport.fd, POLLIN, 0};
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

/* The most iovecs that a request of any kind takes. */
static size_t iovecs_max(const struct loadgen_config *config)
{
    size_t most = 0;
    for (uint32_t k = 0; k < config->kind_count; k++) {
        const struct request_kind *kind = &config->kinds[k];
        size_t needed = kind->input_count + 1;
        for (uint32_t input = 0; input < kind->input_count; input++)
            needed += tensormap_batch_iovecs(kind->inputs[input], kind->batch);
        most = needed > most ? needed : most;
    }
    return most;
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
    w->requests = calloc(config->pipeline, sizeof *w->requests);
    w->iov_all = calloc(config->pipeline * iovecs_max(config), sizeof *w->iov_all);
    w->output = compared ? malloc(t->run->output_bytes_max) : NULL;
    if (w->requests == NULL || w->iov_all == NULL || (compared && w->output == NULL)) {
        snprintf(errstr, ERRSTR_BYTES, "out of memory");
        return -1;
    }
    if (open_and_watch(t, w, errstr) < 0)
        return -1;
    if (transport_await(&w->connection.transport, config->connect_timeout_ns, errstr) < 0)
        return -1;
    return config->greeting ? greet_and_wait(config, w, errstr) : 0;
}

/* Zeroed figures of `count` parts; NULL for none, or without memory. */
static struct figures *parts_of(uint32_t count)
{
    struct figures *parts = count ? calloc(count, sizeof *parts) : NULL;
    for (uint32_t i = 0; parts != NULL && i < count; i++)
        figures_init(&parts[i]);
    return parts;
}

static int figures_prepare(struct iothread *t, errstr_t errstr)
{
    const struct loadgen_config *config = &t->run->config;
    uint32_t kinds = config->kind_count > 1 ? config->kind_count : 0;
    t->kinds = parts_of(kinds);
    t->steps = parts_of(config->step_count);
    figures_init(&t->measured);
    histogram_init(&t->burn_in_latencies);
    histogram_init(&t->start_lags);
    histogram_init(&t->timer_lags);
    histogram_init(&t->reply_waits);
    if ((kinds && t->kinds == NULL) || (config->step_count && t->steps == NULL)) {
        snprintf(errstr, ERRSTR_BYTES, "out of memory");
        return -1;
    }
    return 0;
}

int iothread_init(struct iothread *t, struct run_state *run, uint32_t first_worker,
                  uint32_t worker_count, errstr_t errstr)
{
    t->run = run;
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    t->workers = calloc(worker_count, sizeof *t->workers);
    if (t->epoll_fd < 0 || t->workers == NULL) {
        snprintf(errstr, ERRSTR_BYTES, "cannot make an I/O thread: %s", strerror(errno));
        return -1;
    }
    if (figures_prepare(t, errstr) < 0)
        return -1;
    if (schedule_is_open(&run->schedule) && waiting_line_open(&t->line, t->epoll_fd, errstr) < 0)
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
    free(t->kinds);
    free(t->steps);
    waiting_line_close(&t->line);
    if (t->epoll_fd >= 0)
        close(t->epoll_fd);
}
