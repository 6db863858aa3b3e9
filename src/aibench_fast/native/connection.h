/* A connection to a server in any protocol: a transport, and the reader that judges the replies.
 *
 * Memory: connection_open allocates, connection_close frees; both may be called again on the same
 * struct. Zeroed memory is a closed connection.
 * Units: bytes; times in nanoseconds.
 * Threads: one thread at a time uses a connection.
 */
#ifndef AIBENCH_CONNECTION_H
#define AIBENCH_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "errstr.h"
#include "protocol.h"
#include "transport.h"

#define CONNECTION_RECEIVE_BYTES (64 * 1024) /* room to read beyond a large reply */
#define RECEIVES_A_STAMP 8 /* one receive in 8 is timed */

struct connection {
    struct transport transport;
    const struct protocol *protocol; /* the owner sets this and `check` before it opens the connection */
    struct replycheck *check;
    void *reader;                 /* the protocol's; NULL while closed */
    uint64_t sent_bytes;          /* the transport took so many since the connection was opened */
    uint64_t received_bytes;      /* since then */
    bool ended;                   /* everything was read, up to the end that the peer sent */
    bool hung_up;                 /* the peer will send no more; the owner sets it when epoll says so */
    size_t endless_bytes;         /* so many bytes without a whole reply are a failure */
    bool has_unjudged;            /* bytes were received that are not judged yet */
    uint32_t receives;
    uint32_t unstamped;           /* those are timed whose number has none of these bits */
    int64_t reply_wait_ns;        /* how long the bytes of the last receive had waited in the kernel; -1: not
                                   * timed. The owner resets it to -1 */
};

/* Begin to connect; the connection is usable when transport_ready says so. `longest_bytes`: the longest reply that is
 * allowed, or of those that may come at once. Return 0, or -1 or TRANSPORT_QUEUE_FULL with the reason in `errstr`, as
 * transport_open does. */
int connection_open(struct connection *c, const struct endpoint *endpoint, const struct reader_size *size,
                    size_t longest_bytes, errstr_t errstr);

static inline bool connection_is_open(const struct connection *c)
{
    return c->reader != NULL;
}

/* Send `*count` iovecs at `*iov`, as far as the transport takes them. Both are moved past what it took, and the first
 * iovec left is shortened. IO_DONE: everything was sent. IO_FAILED: the check says why. */
enum io_status connection_send(struct connection *c, struct iovec **iov, size_t *count);

/* Receive and judge what has come; all of it if the peer hung up. IO_DONE: the last reply to the request of the check
 * is whole; the next call judges what came after it. IO_FAILED: the check says why. */
enum io_status connection_receive(struct connection *c);

void connection_close(struct connection *c);

#endif
