#include "connecting.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "clock.h"
#include "counting.h"
#include "requests.h"
#include "streams.h"

#define FULL_QUEUE_TRIES 1000 /* a millisecond each */
#define FULL_QUEUE_REST_NS (10 * NS_PER_MS)

static int watch(struct iothread *t, struct worker *w)
{
    /* Edge-triggered and in both directions, so that a connection needs a single epoll_ctl. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = w};
    return epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, w->connection.transport.fd, &event);
}

/* The most bytes in a connection's buffer: all replies outstanding, or a part of one and what the next read adds. */
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
    w->replies = 0;
    w->queued_bytes = 0;
    w->iov_count = 0;
    const struct reader_size size = {
        .unjudged_bytes = unjudged_bytes_max(t->run),
        .reply_bytes = t->run->reply_bytes_max,
        .requests = config->pipeline,
        .pieces = t->run->pieces_max,
        .shared = t->shared,
        .log = t->log.entries ? &t->log : NULL,
        .chunks = &t->counted.counters.chunks_so_far,
    };
    uint32_t replies_at_once = config->protocol->streams ? config->pipeline : 1;
    int opened = connection_open(&w->connection, &w->node, &size,
                                 replies_at_once * t->run->longest_reply_bytes, errstr);
    if (opened < 0)
        return opened;
    if (watch(t, w) < 0) {
        snprintf(errstr, ERRSTR_BYTES, "epoll: %s", strerror(errno));
        return -1;
    }
    return 0;
}

void worker_rest(struct iothread *t, struct worker *w, int64_t until_ns)
{
    w->phase = WORKER_RESTING;
    w->rests_until_ns = until_ns;
    t->workers_resting++;
}

OUT_OF_LINE void connect_failed(struct iothread *t, struct worker *w)
{
    struct run_state *run = t->run;
    const struct loadgen_config *config = &run->config;
    int64_t now_ns = monotonic_ns();
    connection_close(&w->connection);
    if (!w->asks_around)
        outages_attempt_failed(&run->outages[w->server], w->lost_ns);
    if (w->attempts == 0)
        w->first_attempt_ns = now_ns;
    if (w->resends) {
        w->resends = false;
        w->check.kind = FAILURE_CONNECTION_LOST;
        if (config->stop_on_disconnect)
            run_stop(run);
        requests_lost(t, w);
    }
    if (config->cluster)
        cluster_ask_another(t, w);
    if (now_ns - w->first_attempt_ns < config->reconnect_for_ns) {
        int64_t delay_ns = reconnect_delay_ns(w->attempts++, w->index, config->workers);
        worker_rest(t, w, now_ns + delay_ns);
        return;
    }
    if (w->outstanding > 0) {
        count_given_up(t, oldest(w));
        request_done(t, w);
    }
    worker_end(t, w);
    if (atomic_fetch_add(&run->workers_given_up, 1) + 1 == config->workers)
        run_stop(run); /* nobody is left to send requests */
}

/* A queue that is full for a moment is not an outage: the worker tries again within the connect timeout, and these
 * attempts are not counted. */
static bool waits_for_room(struct iothread *t, struct worker *w)
{
    if (w->queue_full_ns == 0)
        w->queue_full_ns = w->since_ns;
    if (w->since_ns - w->queue_full_ns > t->run->config.connect_timeout_ns)
        return false;
    worker_rest(t, w, w->since_ns + FULL_QUEUE_REST_NS);
    return true;
}

void worker_connect(struct iothread *t, struct worker *w)
{
    errstr_t errstr;
    replycheck_start(&w->check, NULL);
    w->phase = WORKER_CONNECTING;
    w->since_ns = monotonic_ns();
    if (!w->held_up)
        w->meant_ns = w->since_ns;
    w->held_up = true;
    if (w->lost_ns == 0)
        w->lost_ns = w->since_ns;
    int opened = open_and_watch(t, w, errstr);
    if (opened == TRANSPORT_QUEUE_FULL && waits_for_room(t, w))
        return;
    w->queue_full_ns = 0;
    if (opened < 0) {
        replycheck_fail(&w->check, FAILURE_CONNECT, "reconnecting: %s", errstr);
        connect_failed(t, w);
    }
}

/* The greeting of the worker's connection; NULL: none. */
static const struct greeting *greeting_of(const struct loadgen_config *config, const struct worker *w)
{
    bool asks = w->kinds != config->kinds;
    const struct greeting *greetings = asks ? config->cluster->asking_greetings : config->greetings;
    return greetings && greetings[w->server].replies ? &greetings[w->server] : NULL;
}

static void greeting_prepare(struct worker *w, const struct greeting *greeting)
{
    w->phase = WORKER_GREETING;
    w->iov = w->iov_all;
    w->iov[0] = (struct iovec){(void *)greeting->bytes, greeting->count};
    w->iov_count = 1;
    w->check.expected = NULL;
    w->queued_bytes = greeting->count;
    w->greetings_due = greeting->replies;
    replycheck_start(&w->check, NULL);
}

/* IO_DONE: the whole greeting is answered; the check says whether well. */
static enum io_status greeting_receive(struct worker *w)
{
    for (;;) {
        enum io_status status = connection_receive(&w->connection);
        if (status != IO_DONE || w->check.kind != FAILURE_NONE || --w->greetings_due == 0)
            return status;
        replycheck_start(&w->check, NULL);
    }
}

/* A failed greeting counts as a failure to connect. */
static void greeting_failed(struct iothread *t, struct worker *w)
{
    w->check.kind = FAILURE_CONNECT;
    connect_failed(t, w);
}

/* The connection is ready: send the worker's request on it. */
static void worker_reconnected(struct iothread *t, struct worker *w)
{
    w->asks_around = false;
    if (w->lost)
        counter_bump(&t->counted.counters.remade);
    else if (t->run->config.protocol->peer_may_close) /* or it followed a redirect */
        counter_bump(&t->counted.counters.reconnects);
    w->lost = false;
    w->lost_ns = 0;
    w->attempts = 0;
    int64_t now_ns = monotonic_ns();
    outages_over(&t->run->outages[w->server], now_ns);
    count_connected(t, w, now_ns);
    if (!w->resends && drop_too_late(t, w, oldest(w)))
        worker_next(t, w);
    else
        worker_start(t, w);
}

void worker_connected(struct iothread *t, struct worker *w)
{
    errstr_t errstr;
    const struct greeting *greeting = greeting_of(&t->run->config, w);
    enum io_status status = transport_ready(&w->connection.transport, errstr);
    if (status == IO_AGAIN)
        return;
    if (status == IO_FAILED) {
        replycheck_fail(&w->check, FAILURE_CONNECT, "reconnecting: %s", errstr);
        connect_failed(t, w);
    } else if (greeting == NULL) {
        worker_reconnected(t, w);
    } else {
        greeting_prepare(w, greeting);
        if (connection_send(&w->connection, &w->iov, &w->iov_count) == IO_FAILED)
            greeting_failed(t, w);
    }
}

void worker_greeted(struct iothread *t, struct worker *w)
{
    enum io_status status = greeting_receive(w);
    if (status == IO_AGAIN)
        return;
    if (status == IO_DONE && cluster_redirected(t, w))
        worker_connect(t, w);
    else if (status == IO_FAILED || w->check.kind != FAILURE_NONE)
        greeting_failed(t, w);
    else
        worker_reconnected(t, w);
}

bool ends_unsent(struct iothread *t, const struct worker *w)
{
    return w->outstanding > 0 && !w->resends && run_is_over(t->run);
}

OUT_OF_LINE void worker_rested(struct iothread *t, struct worker *w)
{
    t->workers_resting--;
    if (w->probes)
        keepalive_probed(&t->run->keepalives[w->server], w->replies, w->connection.hung_up);
    w->probes = false;
    if (ends_unsent(t, w))
        worker_end_unsent(t, w);
    else if (w->outstanding > 0)
        worker_begin(t, w);
    else
        worker_next(t, w);
}

/* Greet before the run starts, and wait for the replies. Return 0, or -1 with the reason in `errstr`; 1 if a node of a
 * cluster redirected the worker to another one. */
static int greet_and_wait(struct iothread *t, struct worker *w, const struct greeting *greeting,
                          errstr_t errstr)
{
    const struct loadgen_config *config = &t->run->config;
    int64_t until_ns = monotonic_ns() + config->connect_timeout_ns;
    enum io_status status = IO_AGAIN;
    greeting_prepare(w, greeting);
    while (status == IO_AGAIN && monotonic_ns() < until_ns) {
        status = connection_send(&w->connection, &w->iov, &w->iov_count);
        if (status == IO_DONE)
            status = greeting_receive(w);
        if (status == IO_AGAIN) {
            struct pollfd waited = {w->connection.transport.fd, POLLIN, 0};
            poll(&waited, 1, 10);
        }
    }
    if (status == IO_DONE && w->check.kind == FAILURE_NONE)
        return 0;
    if (status == IO_DONE && cluster_redirected(t, w))
        return 1;
    snprintf(errstr, ERRSTR_BYTES, "%s",
             status != IO_AGAIN          ? w->check.message
             : config->protocol->streams ? "no SETTINGS of HTTP/2 came within the connect timeout"
                                         : "no reply to the log-in within the connect timeout");
    return -1;
}

static int connect_and_greet(struct iothread *t, struct worker *w, errstr_t errstr)
{
    const struct loadgen_config *config = &t->run->config;
    const struct timespec pause = {.tv_nsec = NS_PER_MS};
    int opened = open_and_watch(t, w, errstr);
    for (int i = 0; i < FULL_QUEUE_TRIES && opened == TRANSPORT_QUEUE_FULL; i++) {
        nanosleep(&pause, NULL);
        opened = open_and_watch(t, w, errstr);
    }
    if (opened < 0)
        return -1;
    if (transport_await(&w->connection.transport, config->connect_timeout_ns, errstr) < 0)
        return -1;
    const struct greeting *greeting = greeting_of(config, w);
    int status = greeting ? greet_and_wait(t, w, greeting, errstr) : 0;
    if (status == 0 && config->protocol->streams)
        streams_idle(t, w); /* acknowledge the server's greeting */
    return status;
}

int worker_connect_first(struct iothread *t, struct worker *w, errstr_t errstr)
{
    int status;
    do
        status = connect_and_greet(t, w, errstr);
    while (status == 1);
    return status;
}
