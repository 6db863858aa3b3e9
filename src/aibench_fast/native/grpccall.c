#include "grpccall.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "connection.h"
#include "http2.h"
#include "kind.h"

#define REPLY_BYTES (16 * 1024) /* room for usual answers */
#define PREFIX_BYTES 5
#define PIECES 3 /* header fields, prefix, message */

struct grpccall {
    bool has_several; /* the answer may be several messages */
    struct connection connection;
    struct replycheck check;
    struct request_kind kind; /* the size of answers; nothing else of it is used */
    enum { CONNECTING, GREETING, IDLE, CALLING } phase;
    char greeting[HTTP2_GREETING_BYTES];
    char prefix[PREFIX_BYTES];
    struct iovec first; /* the greeting */
    struct iovec *iov;  /* what is being sent */
    size_t iov_count;
    short connecting_events; /* what connecting waits for */
    struct grpc_answer answer;
};

struct grpccall *grpccall_open(const struct endpoint *endpoint, errstr_t errstr)
{
    struct reader_size size = {.unjudged_bytes = CONNECTION_RECEIVE_BYTES, .reply_bytes = REPLY_BYTES, .requests = 1,
                               .pieces = PIECES};
    struct grpccall *c = calloc(1, sizeof *c);
    if (c == NULL) {
        snprintf(errstr, ERRSTR_BYTES, "out of memory");
        return NULL;
    }
    c->connection.protocol = &grpc_protocol;
    c->connection.check = &c->check;
    replycheck_start(&c->check, NULL);
    if (connection_open(&c->connection, endpoint, &size, UINT32_MAX, errstr) < 0) {
        free(c);
        return NULL;
    }
    c->first = (struct iovec){c->greeting, http2_greeting(c->greeting)};
    c->iov = &c->first;
    c->iov_count = 1;
    c->connecting_events = POLLOUT;
    return c;
}

void grpccall_close(struct grpccall *c)
{
    connection_close(&c->connection);
    free(c);
}

enum io_status grpccall_begin(struct grpccall *c, const char *fields, size_t fields_bytes, const char *message,
                              size_t message_bytes, size_t most_bytes, bool has_several)
{
    replycheck_start(&c->check, NULL);
    if (http2_head_bytes(fields, fields_bytes) != fields_bytes || message_bytes > UINT32_MAX) {
        replycheck_fail(&c->check, FAILURE_PROTOCOL, "the header fields of a call are malformed, or too many");
        return IO_FAILED;
    }
    c->prefix[0] = 0;
    for (size_t i = 1; i < PREFIX_BYTES; i++)
        c->prefix[i] = (char)(message_bytes >> 8 * (PREFIX_BYTES - 1 - i));
    struct iovec pieces[PIECES] = {
        {(void *)fields, fields_bytes}, {c->prefix, PREFIX_BYTES}, {(void *)message, message_bytes}};
    c->kind.output_bytes_max = most_bytes;
    c->has_several = has_several;
    grpc_protocol.streams->submit(c->connection.reader, &c->kind, pieces, PIECES);
    c->phase = CALLING;
    return IO_DONE;
}

/* Send what there is to send. IO_AGAIN: the socket takes no more for now. */
static enum io_status send_all(struct grpccall *c)
{
    for (;;) {
        if (c->iov_count == 0)
            grpc_protocol.streams->take(c->connection.reader, &c->iov, &c->iov_count);
        if (c->iov_count == 0)
            return IO_DONE;
        enum io_status status = connection_send(&c->connection, &c->iov, &c->iov_count);
        if (status != IO_DONE)
            return status;
    }
}

/* Wait for an event on the socket. Return whether there is one, or bytes that are not judged yet. */
static bool wait_for_event(const struct grpccall *c, int64_t wait_ns)
{
    short sending = c->iov_count > 0 ? POLLOUT : 0;
    struct pollfd waited = {.fd = c->connection.transport.fd,
                            .events = c->phase == CONNECTING ? c->connecting_events : (short)(POLLIN | sending)};
    return c->connection.has_unjudged || poll(&waited, 1, (int)(wait_ns / NS_PER_MS)) > 0;
}

static enum io_status connect_further(struct grpccall *c)
{
    errstr_t errstr;
    struct transport *t = &c->connection.transport;
    enum io_status status = transport_ready(t, errstr);
    if (status == IO_FAILED)
        replycheck_fail(&c->check, FAILURE_CONNECT, "%s", errstr);
    else if (status == IO_DONE)
        c->phase = GREETING;
    else if (t->tls)
        c->connecting_events = tls_wants_to_send(t->tls) ? POLLOUT : POLLIN;
    return status == IO_FAILED ? IO_FAILED : IO_AGAIN;
}

/* Receive what came. A server that accepts no more may have said why: that is received even if sending failed. */
static enum io_status receive(struct grpccall *c, bool can_send)
{
    struct replycheck sending = c->check;
    replycheck_start(&c->check, NULL);
    enum io_status status = connection_receive(&c->connection);
    if (status == IO_DONE && c->phase == CALLING)
        grpc_answered(c->connection.reader, c->has_several, &c->answer);
    if (status == IO_AGAIN && !can_send)
        c->check = sending;
    if (status == IO_DONE)
        c->phase = IDLE;
    return c->check.kind != FAILURE_NONE ? IO_FAILED : status;
}

enum io_status grpccall_go_on(struct grpccall *c, int64_t wait_ns)
{
    bool can_send = c->phase == CONNECTING || send_all(c) != IO_FAILED;
    if (can_send && !wait_for_event(c, wait_ns))
        return IO_AGAIN;
    enum io_status status = c->phase == CONNECTING ? connect_further(c) : receive(c, can_send);
    /* What came may have to be answered, such as a PING. If that fails, so does receiving. */
    if (status != IO_FAILED && c->phase != CONNECTING)
        send_all(c);
    return status;
}

bool grpccall_is_over(struct grpccall *c)
{
    return grpccall_go_on(c, 0) == IO_FAILED || grpc_protocol.is_last(c->connection.reader);
}

const struct grpc_answer *grpccall_answer(const struct grpccall *c)
{
    return &c->answer;
}

const char *grpccall_error(const struct grpccall *c)
{
    return c->check.message;
}
