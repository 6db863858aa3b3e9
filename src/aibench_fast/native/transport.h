/* Bytes to and from a server over one nonblocking socket, plain or with TLS. Nothing else uses sockets; hiredis opens
 * them.
 *
 * Memory: transport_open allocates, transport_close frees; both may be called again on the same struct.
 * Units: bytes; times in nanoseconds. Return codes: at each function.
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
    const char *host; /* a numeric address; names are not looked up here */
    int port;
    const char *socket; /* a unix socket's path, used instead of host and port; or NULL */
    struct tls *tls;    /* NULL: plain */
    bool closes_each;   /* it closes each connection after the first reply, without announcing it */
};

struct transport {
    int fd;
    struct tls_link *tls; /* NULL: plain */
};

/* A unix socket's queue of new connections is full, and the kernel does not report when there is room. */
#define TRANSPORT_QUEUE_FULL (-2)

/* Begin to connect; never waits. Return 0, or -1 or TRANSPORT_QUEUE_FULL with the reason in `errstr`. */
int transport_open(struct transport *t, const struct endpoint *endpoint, errstr_t errstr);

/* After an event on the socket: IO_DONE if connected, TLS handshake included; IO_AGAIN if not yet; IO_FAILED with the
 * reason in `errstr`. */
enum io_status transport_ready(struct transport *t, errstr_t errstr);

/* Wait until ready, for `timeout_ns` at most. Return 0, or -1 with the reason in `errstr`. */
int transport_await(struct transport *t, int64_t timeout_ns, errstr_t errstr);

/* transport_receive that also sets how long the bytes had waited in the kernel. `*waited_ns` is unchanged if the kernel
 * does not report it, and with TLS. */
ssize_t transport_receive_stamped(struct transport *t, char *to, size_t room, bool *more, int64_t *waited_ns);

/* Return whether the peer's system has not acknowledged all that was sent, or had not when the connection ended. */
bool transport_has_unacknowledged(const struct transport *t);

/* Return the port of this end; 0 of a unix socket. */
uint16_t transport_local_port(const struct transport *t);

/* Describe the last failure; its errno must still be set. */
const char *transport_error(const struct transport *t);

void transport_close(struct transport *t);

/* Send from the front of `count` pieces. Return how many bytes were sent, or -1 with errno: EAGAIN, EFAULT if a mapped
 * file shrank, or another. */
static inline ssize_t transport_send(struct transport *t, struct iovec *iov, size_t count)
{
    if (t->tls)
        return tls_send(t->tls, iov, count);
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
    return sendmsg(t->fd, &message, MSG_NOSIGNAL);
}

/* Receive up to `room` bytes. Return how many; 0 at the end; or -1 with errno. `*more`: more can be received at
 * once. */
static inline ssize_t transport_receive(struct transport *t, char *to, size_t room, bool *more)
{
    if (t->tls)
        return tls_receive(t->tls, to, room, more);
    ssize_t got = recv(t->fd, to, room, 0);
    *more = got == (ssize_t)room;
    return got;
}

#endif
