#include "connection.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <hiredis.h>

#include "clock.h"

#define FULL_QUEUE_TRIES 1000 /* a millisecond each */

/* A unix socket connects at once or, where the server's queue of new connections is full, not at
 * all; hiredis takes that for a connection under way, which nothing would ever tell the end of. */
static bool queue_is_full(const redisContext *context, const struct endpoint *endpoint)
{
    struct sockaddr_storage peer;
    socklen_t bytes = sizeof peer;
    return context != NULL && !context->err && endpoint->socket != NULL &&
           getpeername(context->fd, (struct sockaddr *)&peer, &bytes) < 0 && errno == ENOTCONN;
}

static redisContext *begin_to_connect(const struct endpoint *endpoint)
{
    const struct timespec pause = {.tv_nsec = NS_PER_MS};
    redisOptions options = {.options = REDIS_OPT_NONBLOCK};
    if (endpoint->socket)
        REDIS_OPTIONS_SET_UNIX(&options, endpoint->socket);
    else
        REDIS_OPTIONS_SET_TCP(&options, endpoint->host, endpoint->port);
    redisContext *context = redisConnectWithOptions(&options);
    for (int i = 0; i < FULL_QUEUE_TRIES && queue_is_full(context, endpoint); i++) {
        nanosleep(&pause, NULL);
        redisFree(context);
        context = redisConnectWithOptions(&options);
    }
    return context;
}

int connection_open(struct connection *c, const struct endpoint *endpoint, size_t reply_bytes,
                    errstr_t errstr)
{
    redisContext *context = begin_to_connect(endpoint);
    if (queue_is_full(context, endpoint)) {
        redisFree(context);
        snprintf(errstr, ERRSTR_BYTES, "the server's queue of new connections stays full");
        return -1;
    }
    if (context == NULL || context->err) {
        snprintf(errstr, ERRSTR_BYTES, "%s", context ? context->errstr : "out of memory");
        if (context)
            redisFree(context);
        return -1;
    }
    c->reader = c->protocol->open(c->check, reply_bytes);
    if (c->reader == NULL) {
        redisFree(context);
        snprintf(errstr, ERRSTR_BYTES, "out of memory");
        return -1;
    }
    if (endpoint->socket == NULL) /* a unix socket has no such stamps */
        setsockopt(context->fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){1}, sizeof(int));
    c->context = context;
    c->sent_bytes = 0;
    c->received_bytes = 0;
    c->hung_up = false;
    c->has_unjudged = false;
    c->receives = 0;
    c->reply_wait_ns = -1;
    return 0;
}

int connection_ready(struct connection *c, errstr_t errstr)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(c->context->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        error = errno;
    if (error)
        snprintf(errstr, ERRSTR_BYTES, "%s", strerror(error));
    return error ? -1 : 0;
}

int connection_await(struct connection *c, int timeout_ms, errstr_t errstr)
{
    struct pollfd waited = {.fd = c->context->fd, .events = POLLOUT};
    int ready = poll(&waited, 1, timeout_ms);
    if (ready == 1)
        return connection_ready(c, errstr);
    snprintf(errstr, ERRSTR_BYTES, "%s",
             ready == 0 ? "no connection within the time allowed" : strerror(errno));
    return -1;
}

int connection_fd(const struct connection *c)
{
    return c->context->fd;
}

static void skip_sent(struct iovec **iov, size_t *count, size_t sent)
{
    while (*count > 0 && sent >= (*iov)->iov_len) {
        sent -= (*iov)->iov_len;
        (*iov)++;
        (*count)--;
    }
    if (sent > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + sent;
        (*iov)->iov_len -= sent;
    }
}

enum io_status connection_send(struct connection *c, struct iovec **iov, size_t *count)
{
    while (*count > 0) {
        struct msghdr message = {.msg_iov = *iov, .msg_iovlen = *count < IOV_MAX ? *count : IOV_MAX};
        ssize_t sent = sendmsg(c->context->fd, &message, MSG_NOSIGNAL);
        if (sent >= 0) {
            c->sent_bytes += (uint64_t)sent;
            skip_sent(iov, count, (size_t)sent);
        } else if (errno == EAGAIN) {
            return IO_AGAIN;
        } else if (errno == EFAULT) { /* only the map can vanish */
            replycheck_fail(c->check, FAILURE_TENSOR_FILE,
                            "the tensor file was changed while it was sent from");
            return IO_FAILED;
        } else if (errno != EINTR) {
            replycheck_fail(c->check, FAILURE_CONNECTION_LOST, "sending: %s", strerror(errno));
            return IO_FAILED;
        }
    }
    return IO_DONE;
}

/* Receive with the time at which the last of the bytes came, as the kernel stamped it. */
__attribute__((noinline, cold)) static ssize_t recv_stamped(struct connection *c, char *buffer, size_t bytes)
{
    union {
        char room[CMSG_SPACE(sizeof(struct timespec))];
        struct cmsghdr alignment;
    } control;
    struct iovec iov = {buffer, bytes};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1,
                             .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(c->context->fd, &message, 0);
    struct cmsghdr *head = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec came;
        memcpy(&came, CMSG_DATA(head), sizeof came);
        int64_t waited_ns = clock_ns(CLOCK_REALTIME) - (came.tv_sec * NS_PER_S + came.tv_nsec);
        c->reply_wait_ns = waited_ns > 0 ? waited_ns : 0; /* that clock may be set back */
    }
    return got;
}

/* Receive as much as the reader has room for, which is all that is outstanding unless the replies are
 * large. `*full`: there may be more. */
static ssize_t receive(struct connection *c, bool *full)
{
    size_t room;
    char *to = c->protocol->room(c->reader, &room);
    if (to == NULL) {
        errno = ENOMEM;
        return -1;
    }
    ssize_t got = c->receives++ % RECEIVES_A_STAMP == 0 ? recv_stamped(c, to, room)
                                                        : recv(c->context->fd, to, room, 0);
    if (got > 0) {
        c->protocol->came(c->reader, (size_t)got);
        c->received_bytes += (uint64_t)got;
        *full = (size_t)got == room;
    }
    return got;
}

enum io_status connection_receive(struct connection *c)
{
    enum io_status status = c->has_unjudged ? c->protocol->judge(c->reader) : IO_AGAIN;
    bool more = true;
    while (status == IO_AGAIN && more) {
        bool full = false;
        ssize_t got = receive(c, &full);
        if (got > 0) {
            status = c->protocol->judge(c->reader);
            /* What came is all read then, and the owner is told when more comes, or an end. */
            more = full || c->hung_up;
        } else if (got == 0) {
            status = c->protocol->ended(c->reader);
        } else if (errno == EAGAIN) {
            more = false;
        } else if (errno != EINTR) {
            replycheck_fail(c->check, FAILURE_CONNECTION_LOST, "receiving: %s", strerror(errno));
            status = IO_FAILED;
        }
    }
    c->has_unjudged = c->protocol->has_unjudged(c->reader);
    return status;
}

void connection_close(struct connection *c)
{
    if (c->context) {
        c->protocol->close(c->reader);
        redisFree(c->context);
    }
    c->context = NULL;
    c->reader = NULL;
}
