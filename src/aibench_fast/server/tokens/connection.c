#include "connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_BYTES 65536
#define BODY_BYTES_MAX (64 << 20)

static int append(struct bytes *to, const char *from, size_t length, size_t padding)
{
    if (to->length + length + padding > to->room) {
        size_t room = 2 * (to->length + length) + padding;
        char *data = realloc(to->data, room);
        if (data == NULL)
            return -1;
        to->data = data;
        to->room = room;
    }
    memcpy(to->data + to->length, from, length);
    to->length += length;
    return 0;
}

static int on_message_begin(llhttp_t *parser)
{
    struct connection *c = parser->data;
    c->target_length = 0;
    c->body.length = 0;
    return c->has_request ? -1 : 0; /* nobody pipelines requests for streams */
}

static int on_url(llhttp_t *parser, const char *at, size_t length)
{
    struct connection *c = parser->data;
    size_t room = TARGET_BYTES - 1 - c->target_length;
    size_t taken = length < room ? length : room;
    memcpy(c->target + c->target_length, at, taken);
    c->target_length += taken;
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t length)
{
    struct connection *c = parser->data;
    return c->body.length + length > BODY_BYTES_MAX ? -1 : append(&c->body, at, length, ASKED_PADDING);
}

static int on_message_complete(llhttp_t *parser)
{
    struct connection *c = parser->data;
    c->target[c->target_length] = 0;
    c->has_request = true;
    c->closes_when_sent = !llhttp_should_keep_alive(parser);
    return append(&c->body, "", 0, ASKED_PADDING);
}

static const llhttp_settings_t SETTINGS = {
    .on_message_begin = on_message_begin,
    .on_url = on_url,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

struct connection *connection_open(int fd, uint16_t port)
{
    struct connection *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->fd = fd;
    c->port = port;
    c->stream.due.place = NOT_DUE;
    llhttp_init(&c->parser, HTTP_REQUEST, &SETTINGS);
    c->parser.data = c;
    return c;
}

void connection_close(struct connection *c)
{
    close(c->fd);
    free(c->body.data);
    free(c->unsent.data);
    free(c);
}

enum received connection_receive(struct connection *c)
{
    static char room[RECEIVE_BYTES];
    for (;;) {
        ssize_t got = recv(c->fd, room, sizeof(room), MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return RECEIVED_PART;
        bool was_asked = c->has_request;
        if (got <= 0 || llhttp_execute(&c->parser, room, (size_t)got) != HPE_OK)
            return RECEIVED_END;
        if (c->has_request && !was_asked)
            return RECEIVED_REQUEST;
    }
}

/* Return how many bytes the socket took. */
static size_t send_some(struct connection *c, const char *bytes, size_t length)
{
    size_t sent = 0;
    while (sent < length) {
        ssize_t taken = send(c->fd, bytes + sent, length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (taken < 0 && errno == EINTR)
            continue;
        if (taken < 0) {
            c->is_broken = errno != EAGAIN;
            break;
        }
        sent += (size_t)taken;
    }
    return sent;
}

void connection_send(struct connection *c, const char *bytes, size_t length, int64_t segments)
{
    size_t sent = 0;
    if (segments > (int64_t)length)
        segments = (int64_t)length;
    for (int64_t i = 1; i <= segments && c->unsent.length == 0 && !c->is_broken; i++) {
        size_t end = length * (size_t)i / (size_t)segments;
        sent += send_some(c, bytes + sent, end - sent);
        if (sent < end)
            break;
    }
    if (sent < length && !c->is_broken && append(&c->unsent, bytes + sent, length - sent, 0) < 0)
        c->is_broken = true;
}

void connection_flush(struct connection *c)
{
    if (c->unsent.length == 0)
        return;
    c->sent += send_some(c, c->unsent.data + c->sent, c->unsent.length - c->sent);
    if (c->sent < c->unsent.length && !c->is_broken)
        return;
    c->unsent.length = c->sent = 0;
    if (c->closes_when_sent && !c->has_request)
        connection_end(c);
}

void connection_replied(struct connection *c)
{
    c->has_request = false;
    c->requests++;
    if (c->closes_when_sent && c->unsent.length == 0)
        connection_end(c);
}

void connection_end(struct connection *c)
{
    c->is_broken = true;
    c->unsent.length = c->sent = 0;
    shutdown(c->fd, SHUT_RDWR); /* which comes back as an event, and closes it */
}
