/* Bytes to a server and from it, as they are or by TLS, over one nonblocking socket: the only user of
 * sockets, which hiredis opens.
 *
 * Memory: transport_open allocates, transport_close frees; both may be called again on the same struct.
 * Threads: one thread at a time uses a transport.
 */
#ifndef AIBENCH_TRANSPORT_H
#define AIBENCH_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "errstr.h"
#include "iostatus.h"
#include "tls.h"

struct endpoint {
    const char *host; /* a numeric address: no name is looked up here */
    int port;
    const char *socket; /* a unix socket's path, or NULL; it wins over host and port */
    struct tls *tls;    /* NULL: what is sent goes as it is */
    bool closes_each;   /* it closes a connection behind the first reply, and does not say so */
};

struct transport {
    int fd;
    struct tls_link *tls; /* NULL: plain */
};

/* A unix socket's queue of new connections is full: nothing tells when there is room. */
#define TRANSPORT_QUEUE_FULL (-2)

/* Begin to connect; never waits. Returns 0, or -1 or TRANSPORT_QUEUE_FULL with the reason in `errstr`. */
int transport_open(struct transport *t, const struct endpoint *endpoint, errstr_t errstr);

/* After something happened on the socket: IO_DONE when connected, hands shaken; IO_AGAIN where that takes
 * something more; IO_FAILED with the reason in `errstr`. */
enum io_status transport_ready(struct transport *t, errstr_t errstr);

/* Wait until ready or for `timeout_ns`. Returns 0, or -1 with the reason in `errstr`. */
int transport_await(struct transport *t, int64_t timeout_ns, errstr_t errstr);

/* As transport_receive, where it may be told how long what came had waited in the kernel: `*waited_ns` is
 * left as it is where not, as by TLS. */
ssize_t transport_receive_stamped(struct transport *t, char *to, size_t room, bool *more, int64_t *waited_ns);

/* Whether the peer's system has not acknowledged all that was sent, or had not when the connection ended. */
bool transport_has_unacknowledged(const struct transport *t);

/* What the last failure was, whose errno is still there. */
const char *transport_error(const struct transport *t);

void transport_close(struct transport *t);

/* Send from the front of `count` pieces. Returns how many bytes went, or -1 with errno: EAGAIN, EFAULT where
 * a mapped file shrank, or another. */
static inline ssize_t transport_send(struct transport *t, struct iovec *iov, size_t count)
{
    if (t->tls)
        return tls_send(t->tls, iov, count);
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
    return sendmsg(t->fd, &message, MSG_NOSIGNAL);
}

/* Receive up to `room` bytes. Returns 0 at the end, -1 with errno, or how many came, which is all there was
 * unless there is `*more`. */
static inline ssize_t transport_receive(struct transport *t, char *to, size_t room, bool *more)
{
    if (t->tls)
        return tls_receive(t->tls, to, room, more);
    ssize_t got = recv(t->fd, to, room, 0);
    *more = got == (ssize_t)room;
    return got;
}

#endif
