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
#include <stdint.h>
#include <sys/uio.h>

#include "eventlog.h"
#include "iostatus.h"
#include "replycheck.h"

/* What a connection has to hold. */
struct reader_size {
    size_t unjudged_bytes; /* received and not judged yet, usually at most */
    size_t reply_bytes;    /* of a usual reply, at most */
    uint32_t requests;     /* outstanding at most */
    size_t pieces;         /* of a request at most */
    void *shared;          /* what the protocol's `share` made for the thread, borrowed */
    const int64_t *waited_ns; /* the connection's reply_wait_ns, borrowed; NULL: it has none */
    struct event_log *log; /* where to log events of streams of tokens, borrowed; NULL: nowhere */
    uint16_t local_port;   /* with a log: of this end of the connection */
    _Atomic uint64_t *chunks; /* counts events with content of streams of tokens as they come, borrowed; NULL: none does */
};

struct stream_end {
    uint32_t slot;
    bool is_refused;   /* the server did not process the request, which may be sent again */
    uint64_t end_byte; /* the connection's sent_bytes when the request is sent completely; UINT64_MAX: it never is */
    int64_t waited_ns; /* for the server's flow-control windows */
    int64_t first_reply_ns; /* when the first of several replies was whole; 0: there was none, or there is only one */
    uint32_t replies;       /* how many there were, if several may be */
};

/* Requests that are streams of their connection: framed, under flow control, and answered in any order. One that is
 * submitted has a slot until `judge` returns IO_DONE for it, or it is cancelled. */
struct stream_protocol {
    /* Begin a request of the kind, whose pieces are the texts and tensors; return its slot, which must be free. They
     * are borrowed until the request has ended and what `take` returned is sent. */
    uint32_t (*submit)(void *reader, const struct request_kind *kind, const struct iovec *pieces, size_t count);

    /* Set what is to be sent next, when everything before it is sent. `*count` 0: nothing for now. */
    void (*take)(void *reader, struct iovec **pieces, size_t *count);

    /* Describe the end of the request that `judge` returned IO_DONE for last. */
    void (*ended)(const void *reader, struct stream_end *end);

    /* End a request that is under way. Return how long it waited for the server's flow-control windows. */
    int64_t (*cancel)(void *reader, uint32_t slot);

    /* A request was not answered in time: ask the server for a sign of life, unless it was asked. Return false if it was
     * `patience_ns` ago, and it gave none. */
    bool (*probe)(void *reader, int64_t now_ns, int64_t patience_ns);

    /* Return whether the last bytes that were received filled the room, so that more may be there. */
    bool (*may_have_more)(const void *reader);

    /* Return what came so far of the request, which is a stream of tokens; NULL: no request is. */
    const struct token_marks *(*marks)(const void *reader);
};

struct protocol {
    bool may_pipeline;    /* several requests may be outstanding on a connection */
    bool peer_may_close;  /* the peer may close an idle connection; that is not a failure */
    bool stamps_all;      /* the reader asks for the kernel's stamp of each receive */

    /* Make what the readers of a thread share, which the caller frees with `free`. Return NULL without memory. NULL: they
     * share nothing. */
    void *(*share)(void);

    /* Make a reader that notes in `check` what it finds. Return NULL without memory. */
    void *(*open)(struct replycheck *check, const struct reader_size *size);

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

    const struct stream_protocol *streams; /* NULL: a request is the bytes of its texts and tensors, and replies come
                                            * in order */
};

#endif
