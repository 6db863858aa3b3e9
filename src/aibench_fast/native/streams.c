#include "streams.h"

#include "clock.h"
#include "connecting.h"
#include "counting.h"
#include "requests.h"
#include "tokencounting.h"

#define RESENDS_MAX 3
#define REST_NS (50 * NS_PER_MS)

static const struct stream_protocol *streams_of(const struct iothread *t)
{
    return t->run->config.protocol->streams;
}

/* Return the request at a place of the ring, from the oldest on. */
static struct request *request_at(const struct iothread *t, const struct worker *w, uint32_t place)
{
    return &w->requests[(w->oldest + place) % t->run->config.pipeline];
}

/* Bring the request of a slot to the front of the ring. */
static struct request *to_front(const struct iothread *t, struct worker *w, uint32_t slot)
{
    uint32_t place = 0;
    while (request_at(t, w, place)->slot != slot) /* it is in the ring until its end is taken */
        place++;
    struct request found = *request_at(t, w, place);
    for (; place > 0; place--)
        *request_at(t, w, place) = *request_at(t, w, place - 1);
    *oldest(w) = found;
    return oldest(w);
}

/* Put the oldest request behind all others. */
static void to_back(const struct iothread *t, struct worker *w)
{
    struct request first = *oldest(w);
    w->oldest = (w->oldest + 1) % t->run->config.pipeline;
    *request_at(t, w, w->outstanding - 1) = first;
}

static bool may_begin(const struct iothread *t, const struct worker *w)
{
    return !w->connection.hung_up && !t->run->config.protocol->is_last(w->connection.reader);
}

/* Send a request, which has started. */
static void submit(struct iothread *t, struct worker *w, struct request *request)
{
    uint64_t bytes = 0;
    struct iovec *end = request_pieces(w, request, w->iov_all, &bytes);
    request->end_byte = w->connection.sent_bytes; /* until it is lost, or its end is known */
    request->slot = streams_of(t)->submit(w->connection.reader, request->kind, w->iov_all, (size_t)(end - w->iov_all));
}

static void begin(struct iothread *t, struct worker *w, struct request *request, int64_t now_ns)
{
    request->resends = 0;
    request_starts(t, w, request, now_ns);
    submit(t, w, request);
}

/* Begin requests until as many are outstanding as the pipeline allows. */
static void fill(struct iothread *t, struct worker *w)
{
    int64_t now_ns = 0;
    while (w->outstanding < t->run->config.pipeline) {
        struct request *request = request_take(t, w);
        if (request == NULL)
            return;
        if (now_ns == 0)
            now_ns = read_clock(t);
        begin(t, w, request, now_ns);
    }
}

/* Send the requests again that have no stream. */
static void resend(struct iothread *t, struct worker *w)
{
    w->resends = false;
    for (uint32_t i = 0; i < w->outstanding; i++)
        if (request_at(t, w, i)->slot == NO_SLOT)
            submit(t, w, request_at(t, w, i));
}

/* Keep a request to send it again. */
static void keep_to_resend(struct iothread *t, struct worker *w, struct request *request)
{
    request->slot = NO_SLOT;
    request->resends++;
    w->resends = true;
    counter_bump(&t->counted.counters.resent);
}

/* Return what came so far of the worker's stream of tokens, or NULL. */
static const struct token_marks *marks_of(const struct iothread *t, const struct worker *w)
{
    const struct token_marks *(*marks)(const void *) = streams_of(t)->marks;
    return marks && w->outstanding > 0 ? marks(w->connection.reader) : NULL;
}

/* End the oldest request, a stream of tokens, as the check says. */
static void tokens_done(struct iothread *t, struct worker *w, const struct token_marks *marks)
{
    struct request request = *oldest(w);
    uint64_t measured = w->measured;
    int64_t ended_ns = marks->ended_ns ? marks->ended_ns : read_clock(t);
    tokenstream_judge_times(&w->check, &request.kind->tokens, marks, request.started_ns, ended_ns);
    request_ended(t, w, ended_ns);
    count_tokens(t, w, &request, marks, ended_ns, w->measured != measured);
}

/* End the oldest request, whose check is done but for what follows the clock. */
static void done(struct iothread *t, struct worker *w, const struct stream_end *end)
{
    _Atomic uint64_t *successes = &t->counted.measured.counters.successes;
    uint64_t before = atomic_load_explicit(successes, memory_order_relaxed);
    int64_t started_ns = oldest(w)->started_ns;
    request_done(t, w);
    if (atomic_load_explicit(successes, memory_order_relaxed) == before)
        return;
    histogram_record(&t->counted.histograms.window_waits, end->waited_ns);
    if (end->replies > 0) {
        histogram_record(&t->counted.histograms.first_replies, end->first_reply_ns - started_ns);
        counter_add(&t->counted.counters.replies, end->replies);
    }
}

/* The oldest request was answered before it was sent completely: a server may refuse what it has not read, but only with
 * an error. */
OUT_OF_LINE static void judge_early(struct iothread *t, struct worker *w)
{
    t->run->config.protocol->settle(w->connection.reader);
    replycheck_fail(&w->check, FAILURE_PROTOCOL, "answered before the request was sent");
}

/* A request ended, as the reader knows. */
static void ended(struct iothread *t, struct worker *w)
{
    struct stream_end end;
    streams_of(t)->ended(w->connection.reader, &end);
    struct request *request = to_front(t, w, end.slot);
    if (end.is_refused && request->resends < RESENDS_MAX) {
        keep_to_resend(t, w, request);
        return;
    }
    judge_oldest(t, w);
    w->replies++;
    if (w->connection.sent_bytes < end.end_byte)
        judge_early(t, w);
    const struct token_marks *marks = marks_of(t, w);
    if (marks)
        tokens_done(t, w, marks);
    else
        done(t, w, &end);
}

/* Judge what came. Return false if the connection is lost, for the reason in the check. */
static bool receive_replies(struct iothread *t, struct worker *w)
{
    enum io_status status;
    do {
        w->check.kind = FAILURE_NONE;
        status = connection_receive(&w->connection);
        if (w->connection.reply_wait_ns >= 0)
            count_reply_wait(t, w);
        if (status == IO_DONE)
            ended(t, w);
    } while (status == IO_DONE && w->outstanding > 0 &&
             (w->connection.has_unjudged || w->connection.hung_up ||
              streams_of(t)->may_have_more(w->connection.reader)));
    return status != IO_FAILED;
}

/* Send what there is, as far as the transport takes it. Return as above. */
static bool send_listed(struct iothread *t, struct worker *w)
{
    enum io_status status = IO_DONE;
    w->check.kind = FAILURE_NONE;
    while (status == IO_DONE) {
        if (w->iov_count == 0)
            streams_of(t)->take(w->connection.reader, &w->iov, &w->iov_count);
        if (w->iov_count == 0)
            break;
        status = connection_send(&w->connection, &w->iov, &w->iov_count);
    }
    return status != IO_FAILED;
}

/* Return whether the server cannot have processed a request on its lost connection. */
static bool is_unprocessed(const struct worker *w, const struct request *request)
{
    return request->slot == NO_SLOT || w->connection.sent_bytes == request->end_byte;
}

/* The connection is lost, for the reason in the check. Requests that the server cannot have processed are sent again;
 * the others failed. */
static void lost(struct iothread *t, struct worker *w)
{
    struct run_state *run = t->run;
    struct replycheck why = w->check;
    uint32_t outstanding = w->outstanding;
    const struct token_marks *marks = marks_of(t, w), kept = marks ? *marks : (struct token_marks){0};
    w->lost_ns = monotonic_ns();
    w->attempts = 0;
    connection_close(&w->connection);
    for (uint32_t i = 0; i < outstanding; i++) {
        struct request *request = oldest(w);
        if (is_unprocessed(w, request) && request->resends < RESENDS_MAX) {
            if (request->slot != NO_SLOT)
                keep_to_resend(t, w, request);
            to_back(t, w);
            continue;
        }
        w->lost = true;
        judge_oldest(t, w);
        replycheck_fail(&w->check, why.kind, "%s", why.message);
        if (marks)
            tokens_done(t, w, &kept);
        else
            done(t, w, &(struct stream_end){0});
    }
    if (w->lost && run->config.stop_on_disconnect && why.kind == FAILURE_CONNECTION_LOST)
        run_stop(run);
    w->resends = w->outstanding > 0;
    /* As in worker_lost. */
    if (w->replies == 0)
        worker_rest(t, w, w->lost_ns + REST_NS);
    else if (w->outstanding > 0)
        worker_begin(t, w);
    else
        worker_next(t, w);
}

/* Sending failed. What was received before may be answers, or say why. */
static void send_failed(struct iothread *t, struct worker *w)
{
    struct replycheck sending = w->check;
    if (sending.kind == FAILURE_CONNECTION_LOST) {
        w->connection.hung_up = true; /* so that everything is read */
        if (!receive_replies(t, w))
            sending = w->check;
    }
    w->check = sending;
    lost(t, w);
}

/* Return whether all requests that the worker has wait to be sent again. */
static bool all_wait(const struct iothread *t, const struct worker *w)
{
    for (uint32_t i = 0; i < w->outstanding; i++)
        if (request_at(t, w, i)->slot != NO_SLOT)
            return false;
    return true;
}

/* The connection takes no new requests; those under way go on. */
static void drain(struct iothread *t, struct worker *w)
{
    if (!all_wait(t, w))
        return;
    connection_close(&w->connection);
    if (w->outstanding > 0)
        worker_connect(t, w);
    else
        worker_next(t, w);
}

void streams_event(struct iothread *t, struct worker *w, bool readable)
{
    do {
        if (readable && !receive_replies(t, w)) {
            lost(t, w);
            return;
        }
        if (may_begin(t, w)) {
            if (w->resends)
                resend(t, w);
            if (w->outstanding == 0 && schedule_has_waits(&t->run->schedule)) {
                worker_next(t, w);
                return;
            }
            fill(t, w);
            if (w->outstanding == 0) {
                worker_end(t, w);
                return;
            }
        }
        if (!send_listed(t, w)) {
            send_failed(t, w);
            return;
        }
        readable = t->run->config.protocol->has_unjudged(w->connection.reader);
    } while (readable);
    if (!may_begin(t, w))
        drain(t, w);
}

void streams_start(struct iothread *t, struct worker *w)
{
    w->phase = WORKER_STREAMING;
    if (w->resends) {
        resend(t, w);
    } else {
        begin(t, w, oldest(w), read_clock(t));
        fill(t, w);
        if (w->held_up)
            include_wait(t, w);
    }
    w->held_up = false;
    streams_event(t, w, false);
}

void streams_idle(struct iothread *t, struct worker *w)
{
    w->check.kind = FAILURE_NONE;
    bool lives = connection_receive(&w->connection) != IO_FAILED && send_listed(t, w);
    w->connection.hung_up |= !lives; /* worker_begin makes a new one */
}

static void judge_overdue(struct iothread *t, struct worker *w, int64_t waited_ns)
{
    long long limit_ms = t->run->config.reply_timeout_ns / NS_PER_MS;
    if (waited_ns)
        replycheck_fail(&w->check, FAILURE_CLIENT_TIMEOUT,
                        "no complete answer within %lld ms; it waited %lld ms for the server's window", limit_ms,
                        (long long)(waited_ns / NS_PER_MS));
    else
        replycheck_fail(&w->check, FAILURE_CLIENT_TIMEOUT, "no complete answer within %lld ms", limit_ms);
}

/* The oldest request is overdue: end it alone. */
static void expire_oldest(struct iothread *t, struct worker *w)
{
    const struct token_marks *marks = marks_of(t, w);
    int64_t waited_ns = 0;
    if (oldest(w)->slot != NO_SLOT)
        waited_ns = streams_of(t)->cancel(w->connection.reader, oldest(w)->slot);
    judge_oldest(t, w);
    if (marks)
        tokenstream_judge_times(&w->check, &oldest(w)->kind->tokens, marks, oldest(w)->started_ns, t->clock_ns);
    judge_overdue(t, w, waited_ns);
    if (marks)
        tokens_done(t, w, marks);
    else
        done(t, w, &(struct stream_end){.waited_ns = waited_ns});
}

/* Return whether a stream of tokens has paused for too long. */
static bool pauses(const struct iothread *t, const struct worker *w, int64_t now_ns)
{
    const struct token_marks *marks = marks_of(t, w);
    struct replycheck check;
    if (marks == NULL || !token_plan_has_timeout(&oldest(w)->kind->tokens))
        return false;
    replycheck_start(&check, NULL);
    tokenstream_judge_times(&check, &oldest(w)->kind->tokens, marks, oldest(w)->started_ns, now_ns);
    return check.kind != FAILURE_NONE;
}

static bool is_overdue(const struct iothread *t, const struct worker *w, int64_t now_ns)
{
    return now_ns - oldest(w)->started_ns > t->run->config.reply_timeout_ns || pauses(t, w, now_ns);
}

void streams_expire(struct iothread *t, struct worker *w, int64_t now_ns)
{
    int64_t patience_ns = t->run->config.reply_timeout_ns;
    if (!w->connection.hung_up && !is_overdue(t, w, now_ns))
        return;
    streams_event(t, w, true); /* the reply may have come while this thread had no time */
    if (w->phase != WORKER_STREAMING || !is_overdue(t, w, now_ns))
        return;
    const struct protocol *protocol = t->run->config.protocol;
    while (w->outstanding > 0 && is_overdue(t, w, now_ns) && !protocol->has_unjudged(w->connection.reader))
        expire_oldest(t, w);
    if (streams_of(t)->probe(w->connection.reader, now_ns, patience_ns)) {
        streams_event(t, w, false);
        return;
    }
    w->lost = true;
    w->check.kind = FAILURE_NONE;
    replycheck_fail(&w->check, FAILURE_CONNECTION_LOST, "the server answers neither requests nor a PING");
    lost(t, w);
}

void streams_abandoned(struct iothread *t, const struct worker *w)
{
    const struct token_marks *marks = marks_of(t, w);
    if (marks)
        counter_add(&t->tokens[0].counters.other_chunks, marks->chunks);
}
