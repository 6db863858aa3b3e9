#include "requests.h"

#include <math.h>
#include <string.h>

#include "clock.h"
#include "connecting.h"
#include "counting.h"
#include "steadywindow.h"
#include "streams.h"

#define REST_NS (50 * NS_PER_MS)

static void set_over(struct run_state *run, int64_t over_ns)
{
    int64_t none = 0;
    atomic_compare_exchange_strong(&run->over_ns, &none, over_ns);
}

OUT_OF_LINE void run_stop(struct run_state *run)
{
    run_is_over(run); /* notes an end that nobody has noticed yet */
    set_over(run, monotonic_ns());
    atomic_store(&run->stopping, true);
}

bool run_is_over(struct run_state *run)
{
    int64_t from_ns = atomic_load_explicit(&run->measured_from_ns, memory_order_relaxed);
    if (run->config.duration_ns && from_ns &&
        monotonic_ns() - from_ns >= run->config.duration_ns) {
        /* Not the time when it was noticed: requests that are due in between do not belong to the run. */
        set_over(run, from_ns + run->config.duration_ns);
        return true;
    }
    return atomic_load_explicit(&run->stopping, memory_order_relaxed);
}

void worker_end(struct iothread *t, struct worker *w)
{
    connection_close(&w->connection);
    w->phase = WORKER_ENDED;
    if (t->tokens != NULL)
        counter_add(&t->tokens[0].counters.steady_worker_ns, steady_worker_ended(t->run, w, monotonic_ns()));
    t->workers_running--;
}

void note_unsent(struct iothread *t, struct worker *w)
{
    int64_t due_ns = oldest(w)->arrival.due_ns;
    if (due_ns && due_ns < atomic_load_explicit(&t->run->over_ns, memory_order_relaxed))
        count_unsent(t, &oldest(w)->arrival);
    w->outstanding = 0;
}

void worker_end_unsent(struct iothread *t, struct worker *w)
{
    note_unsent(t, w);
    worker_end(t, w);
}

/* Copy the first output from the memory that the server wrote it to, if the reply does not have it. */
OUT_OF_LINE static void fetch_written(struct worker *w)
{
    const struct request_kind *kind = oldest(w)->kind;
    if (kind->written)
        memcpy(w->check.output, kind->written[w->index], w->check.first_bytes);
}

static void sample_finish(struct run_state *run, struct worker *w, bool arrived)
{
    if (arrived)
        fetch_written(w);
    if (arrived && w->output)
        memcpy(run->sample, w->output, w->check.first_bytes);
    run->sample_bytes = w->check.first_bytes;
    atomic_store(&run->sample_state, arrived ? SAMPLE_READY : SAMPLE_WANTED);
}

/* Compare the output with the references of the tensors that were sent. */
static void compare(struct worker *w)
{
    const struct request_kind *kind = oldest(w)->kind;
    uint64_t tensors = kind->inputs[0]->tensor_count;
    uint64_t first = kind_first_tensor(kind, kind->inputs[0], oldest(w)->arrival.number);
    size_t values = kind->output_bytes / kind->batch / sizeof(float);
    const float *found = (const float *)w->output;
    fetch_written(w);
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

/* Inlined: request_done, which every request comes to, costs no call more. */
static inline __attribute__((always_inline)) void end_oldest(struct iothread *t, struct worker *w, int64_t ended_ns)
{
    struct run_state *run = t->run;
    const struct protocol *protocol = run->config.protocol;
    if (protocol->settle && w->check.kind == FAILURE_NONE)
        protocol->settle(w->connection.reader); /* after the clock, as the latency must not include it */
    if (w->output && w->check.kind == FAILURE_NONE && oldest(w)->kind->references)
        compare(w); /* likewise */
    bool failed = w->check.kind != FAILURE_NONE;
    count_ended(t, w, ended_ns);
    if (oldest(w)->samples)
        sample_finish(run, w, !failed);
    if (failed && (run->config.stop_on_failure || w->check.kind == FAILURE_TENSOR_FILE))
        run_stop(run);
    w->oldest = (w->oldest + 1) % run->config.pipeline;
    w->outstanding--;
    if (w->outstanding > 0)
        judge_oldest(t, w);
}

void request_done(struct iothread *t, struct worker *w)
{
    end_oldest(t, w, read_clock(t));
}

void request_ended(struct iothread *t, struct worker *w, int64_t ended_ns)
{
    end_oldest(t, w, ended_ns);
}

void requests_lost(struct iothread *t, struct worker *w)
{
    request_done(t, w);
    while (w->outstanding > 0) {
        replycheck_fail(&w->check, FAILURE_CONNECTION_LOST,
                        "lost with its connection, on which an earlier request failed");
        request_done(t, w);
    }
}

OUT_OF_LINE uint32_t draw_kind(const struct run_state *run, uint64_t number)
{
    uint64_t drawn = splitmix_at(run->config.mix_seed, number);
    uint32_t kind = 0;
    while (kind < run->config.kind_count - 1 && drawn >= run->kind_limits[kind])
        kind++;
    return kind;
}

/* Queue the bytes of a request behind those already queued. */
static void queue_bytes(struct worker *w, struct request *request)
{
    uint64_t bytes = w->queued_bytes;
    struct iovec *end = request_pieces(w, request, w->iov + w->iov_count, &bytes);
    w->iov_count = (size_t)(end - w->iov);
    w->queued_bytes = bytes;
    request->end_byte = bytes;
}

/* Queue a request that starts now. */
static void request_queue(struct iothread *t, struct worker *w, struct request *request,
                          int64_t now_ns)
{
    queue_bytes(w, request);
    request_starts(t, w, request, now_ns);
    if (request == oldest(w))
        judge_oldest(t, w);
}

/* Queue requests until the connection has as many outstanding as the pipeline allows, which is more than it has. */
static __attribute__((noinline)) void fill_up(struct iothread *t, struct worker *w)
{
    int64_t now_ns = 0;
    do {
        struct request *request = request_take(t, w);
        if (request == NULL)
            return;
        if (now_ns == 0)
            now_ns = read_clock(t);
        request_queue(t, w, request, now_ns);
    } while (w->outstanding < t->run->config.pipeline);
}

/* Fill the pipeline; nothing is queued that is not sent. */
static inline void worker_fill(struct iothread *t, struct worker *w)
{
    w->iov = w->iov_all;
    if (w->outstanding < t->run->config.pipeline)
        fill_up(t, w);
}

/* Send the requests again; their start stays the first one. */
OUT_OF_LINE static void resend(struct iothread *t, struct worker *w)
{
    w->resends = false;
    for (uint32_t i = 0; i < w->outstanding; i++)
        queue_bytes(w, &w->requests[(w->oldest + i) % t->run->config.pipeline]);
    judge_oldest(t, w);
}

OUT_OF_LINE void include_wait(struct iothread *t, struct worker *w)
{
    if (!schedule_is_open(&t->run->schedule))
        for (uint32_t i = 0; i < w->outstanding; i++)
            w->requests[(w->oldest + i) % t->run->config.pipeline].arrival.due_ns = w->meant_ns;
}

/* The requests waited for a connection. */
OUT_OF_LINE static void start_held_up(struct iothread *t, struct worker *w)
{
    if (w->resends) {
        resend(t, w);
        return;
    }
    request_queue(t, w, oldest(w), read_clock(t));
    worker_fill(t, w);
    include_wait(t, w);
}

static inline void start_queued(struct iothread *t, struct worker *w)
{
    w->phase = WORKER_BUSY;
    w->iov = w->iov_all;
    w->iov_count = 0;
    w->received_before = w->connection.received_bytes;
    if (w->held_up)
        start_held_up(t, w);
    else
        request_queue(t, w, oldest(w), read_clock(t));
    worker_fill(t, w); /* before anything is sent, so that all of it is sent at once */
    worker_send(t, w);
}

OUT_OF_LINE void worker_start(struct iothread *t, struct worker *w)
{
    if (t->run->config.protocol->streams)
        streams_start(t, w);
    else
        start_queued(t, w);
}

static bool is_probed(struct iothread *t, const struct worker *w)
{
    return t->run->config.protocol->peer_may_close &&
           keepalive_is_probed(&t->run->keepalives[w->server], w->replies);
}

/* Leave the connection alone to see whether the server closes it. */
OUT_OF_LINE static void probe(struct iothread *t, struct worker *w)
{
    w->probes = true;
    worker_rest(t, w, monotonic_ns() + KEEPALIVE_PROBE_MS * NS_PER_MS);
}

/* Return whether a connection without requests is unusable. If the protocol allows it, this is not a failure. */
static bool closed_by_peer(struct iothread *t, const struct worker *w)
{
    const struct protocol *protocol = t->run->config.protocol;
    if (!protocol->peer_may_close ||
        !(w->connection.hung_up || protocol->is_last(w->connection.reader) ||
          keepalive_is_over(&t->run->keepalives[w->server], w->replies)))
        return false;
    keepalive_probed(&t->run->keepalives[w->server], w->replies, true);
    return true;
}

void worker_begin(struct iothread *t, struct worker *w)
{
    if (connection_is_open(&w->connection) && closed_by_peer(t, w))
        connection_close(&w->connection);
    if (!connection_is_open(&w->connection))
        worker_connect(t, w);
    else if (t->run->config.protocol->streams)
        streams_start(t, w);
    else
        start_queued(t, w);
}

OUT_OF_LINE bool drop_too_late(struct iothread *t, struct worker *w, const struct request *request)
{
    struct run_state *run = t->run;
    int64_t max_ns = run->config.max_lag_ns;
    if (max_ns == 0 || request->arrival.due_ns == 0 ||
        monotonic_ns() - request->arrival.due_ns <= max_ns)
        return false;
    if (run->config.shed_late) {
        count_shed(t, w, request);
    } else {
        atomic_store(&run->lag_exceeded, true);
        run_stop(run);
        count_unsent(t, &request->arrival);
    }
    w->outstanding--;
    return true;
}

void worker_next(struct iothread *t, struct worker *w)
{
    const struct request *request;
    int64_t free_ns; /* read before run_is_over is called, as in release_waiting */
    do {
        free_ns = schedule_is_open(&t->run->schedule) ? monotonic_ns() : 0;
        request = request_take(t, w);
        if (request == NULL) {
            worker_end(t, w);
            return;
        }
    } while (drop_too_late(t, w, request));
    w->held_up = false;
    w->waiter.due_ns = request->arrival.not_before_ns;
    w->late = w->waiter.due_ns < free_ns;
    if (w->waiter.due_ns && !w->late) {
        w->phase = WORKER_WAITING;
        waiting_line_push(&t->line, &w->waiter);
        atomic_store_explicit(&t->waits, true, memory_order_relaxed);
    } else {
        worker_begin(t, w);
    }
}

/* Return whether the server closed the connection before it had the request, as HTTP allows (RFC 9112, 9.3.1). A
 * request that it may have begun is lost, however short the time. An orderly end acknowledges all that the server's
 * system had received before. A reset acknowledges nothing; keepalive.h says when it counts as an end. */
OUT_OF_LINE static bool closed_before_request(struct iothread *t, const struct worker *w)
{
    const struct connection *c = &w->connection;
    int64_t after_ns = w->lost_ns - oldest(w)->started_ns;
    if (!t->run->config.protocol->peer_may_close || w->check.kind != FAILURE_CONNECTION_LOST ||
        w->replies == 0 || c->received_bytes != w->received_before)
        return false;
    if (c->sent_bytes < oldest(w)->end_byte)
        return true;
    return transport_has_unacknowledged(&c->transport) &&
           (c->ended || keepalive_may_explain(&t->run->keepalives[w->server], w->replies, after_ns));
}

void worker_lost(struct iothread *t, struct worker *w)
{
    struct run_state *run = t->run;
    w->lost_ns = monotonic_ns();
    w->attempts = 0;
    bool resends = closed_before_request(t, w);
    connection_close(&w->connection);
    if (resends) {
        counter_bump(&t->counted.counters.resent);
        w->resends = true;
        worker_begin(t, w);
        return;
    }
    w->lost = true;
    if (run->config.stop_on_disconnect && w->check.kind == FAILURE_CONNECTION_LOST)
        run_stop(run);
    requests_lost(t, w);
    /* The rest keeps a server that accepts connections and cuts them from spending its time on that, which would slow
     * down the requests that it answers. */
    if (w->replies == 0)
        worker_rest(t, w, w->lost_ns + REST_NS);
    else
        worker_next(t, w);
}

/* The oldest request's last reply is whole before the request is sent completely: a server may refuse what it has not
 * read, but only with an error. The connection is unusable, because the rest of the request is missing. */
OUT_OF_LINE static void judge_early(struct iothread *t, struct worker *w)
{
    const struct protocol *protocol = t->run->config.protocol;
    if (protocol->settle && w->check.kind == FAILURE_NONE)
        protocol->settle(w->connection.reader);
    w->replies++;
    replycheck_fail(&w->check, FAILURE_PROTOCOL, "answered before the request was sent");
}

/* The oldest request's last reply is whole. Return whether it can be the answer; if not, the check says why. */
static bool may_be_answer(struct iothread *t, struct worker *w)
{
    if (w->connection.sent_bytes < oldest(w)->end_byte)
        judge_early(t, w);
    else if (w->outstanding == 1 && w->connection.has_unjudged)
        replycheck_fail(&w->check, FAILURE_PROTOCOL, "more replies than the request has commands");
    else
        return true;
    return false;
}

enum received {
    RECEIVED_ALL,  /* everything received is judged */
    RECEIVED_LOSS, /* the oldest request failed, as the check says, and its connection with it */
    RECEIVED_MOVE  /* the requests are on their way to another node of a cluster */
};

/* Judge what came. */
static inline enum received receive_replies(struct iothread *t, struct worker *w)
{
    enum io_status status = IO_DONE;
    while (w->outstanding > 0 && status == IO_DONE) {
        status = connection_receive(&w->connection);
        if (w->connection.reply_wait_ns >= 0)
            count_reply_wait(t, w);
        if (status == IO_FAILED || (status == IO_DONE && !may_be_answer(t, w)))
            return RECEIVED_LOSS;
        if (status == IO_DONE && w->check.kind != FAILURE_NONE && cluster_redirected(t, w)) {
            w->resends = true;
            worker_connect(t, w);
            return RECEIVED_MOVE;
        }
        if (status == IO_DONE) {
            request_done(t, w);
            w->replies++;
        }
    }
    return RECEIVED_ALL;
}

/* Sending failed. What was received before may be the answer, or the answer to an earlier request. */
OUT_OF_LINE static void send_failed(struct iothread *t, struct worker *w)
{
    struct replycheck sending = w->check;
    enum received received = RECEIVED_LOSS;
    if (sending.kind == FAILURE_CONNECTION_LOST) {
        w->check.kind = FAILURE_NONE;
        w->connection.hung_up = true; /* so that everything is read */
        received = receive_replies(t, w);
    }
    if (received == RECEIVED_MOVE)
        return;
    if (received == RECEIVED_ALL || w->check.kind == FAILURE_CONNECTION_LOST) {
        w->check.kind = FAILURE_NONE;
        replycheck_fail(&w->check, sending.kind, "%s", sending.message);
    }
    worker_lost(t, w);
}

void worker_send(struct iothread *t, struct worker *w)
{
    while (w->iov_count > 0) {
        enum io_status status = connection_send(&w->connection, &w->iov, &w->iov_count);
        if (status == IO_FAILED)
            send_failed(t, w);
        if (status != IO_DONE)
            return;
        worker_fill(t, w);
    }
}

void worker_receive(struct iothread *t, struct worker *w)
{
    enum received received = receive_replies(t, w);
    if (received == RECEIVED_LOSS)
        worker_lost(t, w);
    if (received != RECEIVED_ALL)
        return;
    if (w->outstanding == 0 && closed_by_peer(t, w))
        connection_close(&w->connection);
    else if (w->outstanding == 0 && is_probed(t, w)) {
        probe(t, w);
        return;
    }
    if (w->outstanding == 0) {
        worker_next(t, w);
    } else if (w->iov_count == 0) {
        worker_fill(t, w);
        worker_send(t, w);
    }
}
