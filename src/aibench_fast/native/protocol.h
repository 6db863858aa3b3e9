/* What a protocol is to the load generator: how the replies to its requests are read and judged. What is
 * sent is text and tensors in any of them; see kind.h.
 *
 * A reader belongs to one connection, from when that is opened until it is closed. Bytes are received into
 * its own room and never copied before they are judged.
 *
 * Memory: `open` allocates, `close` frees; a protocol itself is static and read-only.
 * Threads: one thread at a time uses a reader.
 */
#ifndef AIBENCH_PROTOCOL_H
#define AIBENCH_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>

#include "iostatus.h"
#include "replycheck.h"

struct protocol {
    bool may_pipeline;    /* several requests may be outstanding on a connection */
    bool peer_may_close;  /* a connection that is idle may be closed by the peer: no failure */

    /* Make a reader whose replies `check` is to tell of. `reply_bytes`: the most that may stand in its
     * room, read and not judged. Returns NULL without memory. */
    void *(*open)(struct replycheck *check, size_t reply_bytes);

    /* Where to receive to, and how many bytes there are; NULL without memory. */
    char *(*room)(void *reader, size_t *bytes);

    /* So many bytes came into the room. */
    void (*came)(void *reader, size_t bytes);

    /* Judge what came, up to the request's last reply. IO_DONE: it is whole; what came behind it is for the
     * next call. IO_FAILED: the check says why. */
    enum io_status (*judge)(void *reader);

    /* The peer sends no more; as `judge`. */
    enum io_status (*ended)(void *reader);

    /* Whether something came that is not judged yet. */
    bool (*has_unjudged)(const void *reader);

    /* Judge what need not be known for the request's end to be: called once its latency is taken, where
     * nothing failed; or NULL. */
    void (*settle)(void *reader);

    /* Whether the connection may not be used for another request; NULL: it always may. */
    bool (*is_last)(const void *reader);

    void (*close)(void *reader);
};

#endif
