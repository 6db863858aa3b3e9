/* One connection to a server, in any protocol: a transport, and the reader that judges what comes by it.
 *
 * Memory: connection_open allocates, connection_close frees; both may be called again on the same
 * struct. Zeroed memory is a closed connection.
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

#define CONNECTION_RECEIVE_BYTES (64 * 1024) /* room for what is read on top of a large reply */
#define RECEIVES_A_STAMP 8 /* one receive in so many is timed */

struct connection {
    struct transport transport;
    const struct protocol *protocol; /* set by the owner before it is opened, as the next */
    struct replycheck *check;
    void *reader;                 /* the protocol's; NULL while closed */
    uint64_t sent_bytes;          /* that the transport took since the connection was opened */
    uint64_t received_bytes;      /* since then */
    bool ended;                   /* all that the peer sent was read, and that it sends no more */
    bool hung_up;                 /* the peer will send no more: set by the owner, who is told so */
    size_t endless_bytes;         /* so much at a time is no reply, whatever it begins with */
    bool has_unjudged;            /* something was received that is not judged yet */
    uint32_t receives;            /* of which one in RECEIVES_A_STAMP is timed */
    int64_t reply_wait_ns;        /* how long what the last receive read had waited in the kernel, where
                                   * that was timed; -1: it was not. The owner sets it back */
};

/* Begin to connect, as transport_open has it; the connection is usable when transport_ready says so.
 * `reply_bytes`: the most that usually comes and is not judged yet; `longest_bytes`: the most that one reply may
 * have. Returns what that does. */
int connection_open(struct connection *c, const struct endpoint *endpoint, size_t reply_bytes,
                    size_t longest_bytes, errstr_t errstr);

static inline bool connection_is_open(const struct connection *c)
{
    return c->reader != NULL;
}

/* Hand `*count` iovecs at `*iov` to the transport as far as it takes them; both are moved past what
 * it took, and the first iovec left is shortened. IO_DONE: everything went. */
enum io_status connection_send(struct connection *c, struct iovec **iov, size_t *count);

/* Judge what has come, all of it where the peer hung up. IO_DONE: the last reply to the request that the
 * check is for is whole; what came after it is judged by the next call. */
enum io_status connection_receive(struct connection *c);

void connection_close(struct connection *c);

#endif
