#include "transport.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <hiredis.h>

#include "clock.h"

/* A unix socket connects at once, or not at all if the server's queue of new connections is full. hiredis takes
 * that for a connection in progress, whose end the kernel would never report. */
static bool queue_is_full(const redisContext *context, const struct endpoint *endpoint)
{
    struct sockaddr_storage peer;
    socklen_t bytes = sizeof peer;
    return context != NULL && !context->err && endpoint->socket != NULL &&
           getpeername(context->fd, (struct sockaddr *)&peer, &bytes) < 0 && errno == ENOTCONN;
}

static redisContext *begin_to_connect(const struct endpoint *endpoint)
{
    redisOptions options = {.options = REDIS_OPT_NONBLOCK};
    if (endpoint->socket)
        REDIS_OPTIONS_SET_UNIX(&options, endpoint->socket);
    else
        REDIS_OPTIONS_SET_TCP(&options, endpoint->host, endpoint->port);
    return redisConnectWithOptions(&options);
}

int transport_open(struct transport *t, const struct endpoint *endpoint, errstr_t errstr)
{
    redisContext *context = begin_to_connect(endpoint);
    if (queue_is_full(context, endpoint)) {
        redisFree(context);
        snprintf(errstr, ERRSTR_BYTES, "the server's queue of new connections is full");
        return TRANSPORT_QUEUE_FULL;
    }
    if (context == NULL || context->err) {
        snprintf(errstr, ERRSTR_BYTES, "%s", context ? context->errstr : "out of memory");
        if (context)
            redisFree(context);
        return -1;
    }
    t->fd = redisFreeKeepFd(context);
    t->tls = endpoint->tls ? tls_link_open(endpoint->tls, t->fd) : NULL;
    if (endpoint->tls && t->tls == NULL) {
        close(t->fd);
        snprintf(errstr, ERRSTR_BYTES, "out of memory");
        return -1;
    }
    if (endpoint->socket == NULL) /* a unix socket has no receive stamps */
        setsockopt(t->fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){1}, sizeof(int));
    return 0;
}

enum io_status transport_ready(struct transport *t, errstr_t errstr)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        error = errno;
    if (error) {
        snprintf(errstr, ERRSTR_BYTES, "%s", strerror(error));
        return IO_FAILED;
    }
    return t->tls ? tls_handshake(t->tls, errstr) : IO_DONE;
}

int transport_await(struct transport *t, int64_t timeout_ns, errstr_t errstr)
{
    int64_t until_ns = monotonic_ns() + timeout_ns, left_ns = timeout_ns;
    enum io_status status = IO_AGAIN;
    struct pollfd waited = {.fd = t->fd, .events = POLLOUT};
    while (status == IO_AGAIN && left_ns > 0) {
        int ready = poll(&waited, 1, (int)(left_ns / NS_PER_MS) + 1);
        if (ready > 0)
            status = transport_ready(t, errstr);
        if (ready < 0 && errno != EINTR) {
            snprintf(errstr, ERRSTR_BYTES, "%s", strerror(errno));
            return -1;
        }
        if (t->tls && ready > 0)
            waited.events = tls_wants_to_send(t->tls) ? POLLOUT : POLLIN;
        left_ns = until_ns - monotonic_ns();
    }
    if (status == IO_AGAIN)
        snprintf(errstr, ERRSTR_BYTES, "no connection within the connect timeout");
    return status == IO_DONE ? 0 : -1;
}

ssize_t transport_receive_stamped(struct transport *t, char *to, size_t room, bool *more, int64_t *waited_ns)
{
    if (t->tls) /* a record arrives in pieces, each with its own stamp */
        return tls_receive(t->tls, to, room, more);
    union {
        char room[CMSG_SPACE(sizeof(struct timespec))];
        struct cmsghdr alignment;
    } control;
    struct iovec iov = {to, room};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1,
                             .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(t->fd, &message, 0);
    struct cmsghdr *head = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec came;
        memcpy(&came, CMSG_DATA(head), sizeof came);
        int64_t since_ns = clock_ns(CLOCK_REALTIME) - (came.tv_sec * NS_PER_S + came.tv_nsec);
        *waited_ns = since_ns > 0 ? since_ns : 0; /* the stamps' clock may be set back */
    }
    *more = got == (ssize_t)room;
    return got;
}

bool transport_has_unacknowledged(const struct transport *t)
{
    int bytes;
    return ioctl(t->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0;
}

uint16_t transport_local_port(const struct transport *t)
{
    union {
        struct sockaddr any;
        struct sockaddr_in ip; /* IPv6 has its port at the same place */
        struct sockaddr_storage room;
    } local;
    socklen_t bytes = sizeof local;
    if (getsockname(t->fd, &local.any, &bytes) < 0 || local.any.sa_family == AF_UNIX)
        return 0;
    return ntohs(local.ip.sin_port);
}

const char *transport_error(const struct transport *t)
{
    return t->tls ? tls_error(t->tls) : strerror(errno);
}

void transport_close(struct transport *t)
{
    if (t->tls)
        tls_link_close(t->tls);
    t->tls = NULL;
    close(t->fd);
}
