/* A protocol: how replies are read and judged. Requests are texts and tensors in any protocol; see kind.h.
 *
 * A reader belongs to one connection, from its opening to its closing. Bytes are received into the reader's own room,
 * and are not copied before they are judged.
 *
 * Memory: `open` allocates, `close` frees; the table itself is static and read-only.
 * Units: bytes. Return codes: enum io_status.
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
    bool peer_may_close;  /* the peer may close an idle connection; that is not a failure */

    /* Make a reader that notes in `check` what it finds. `reply_bytes`: how many bytes may be in its room at once,
     * received and not judged. Return NULL without memory. */
    void *(*open)(struct replycheck *check, size_t reply_bytes);

    /* Return where to receive to, and set how many bytes fit there. NULL without memory. */
    char *(*room)(void *reader, size_t *bytes);

    /* `bytes` bytes were received into the room. */
    void (*came)(void *reader, size_t bytes);

    /* Judge what was received, up to the request's last reply. IO_DONE: that reply is whole; the next call judges what
     * follows it. IO_FAILED: the check says why. */
    enum io_status (*judge)(void *reader);

    /* The peer sends no more; otherwise as `judge`. */
    enum io_status (*ended)(void *reader);

    /* Return whether something was received that is not judged yet. */
    bool (*has_unjudged)(const void *reader);

    /* Judge what the end of the request does not depend on. Called after the latency was taken, if nothing failed; or
     * NULL. */
    void (*settle)(void *reader);

    /* Return whether the connection must not be used for another request; NULL: it never has to end. */
    bool (*is_last)(const void *reader);

    void (*close)(void *reader);
};

#endif
