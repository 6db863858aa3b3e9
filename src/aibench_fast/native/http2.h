/* An HTTP/2 connection of a client, without any I/O. nghttp2 does the framing, the compression of header fields and the
 * flow control. Here each request has a slot while it is under way, and what is to be sent becomes a list of pieces:
 * frame heads, and slices of the requests' bodies where they lie. Nothing copies a body.
 *
 * The first bytes that a client sends are the same on every connection: http2_greeting. A caller sends them before
 * anything that http2_take returns; the server has greeted when its SETTINGS came.
 *
 * A request is given as pieces. The first one begins with the header fields: a 32-bit length of what follows of them,
 * then of each field a 16-bit length of its name, a 16-bit length of its value, the name and the value, without any
 * padding; all lengths are little-endian. The rest of all pieces is the body, which is at least a byte long.
 *
 * Memory: http2_open allocates, http2_close frees. What a connection needs is allocated when it is opened, or by its
 * first requests, and is used again then. Pieces are borrowed until the request has ended and what http2_take returned
 * is sent.
 * Units: bytes; times in nanoseconds of CLOCK_MONOTONIC. Return codes: at each function.
 * Threads: one at a time uses a connection.
 */
#ifndef AIBENCH_HTTP2_H
#define AIBENCH_HTTP2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define HTTP2_GREETING_BYTES 128 /* at most */
#define HTTP2_FIELDS_MAX 128     /* header fields of a request */
#define HTTP2_HEAD_BYTES_MAX (32 * 1024) /* of a request's header fields, with their lengths */

struct http2;

/* What comes on a stream, until it has ended. `owner` is that of http2_open. */
struct http2_events {
    /* A header field, or one of the trailers. */
    void (*field)(void *owner, uint32_t slot, const char *name, size_t name_bytes, const char *value,
                  size_t value_bytes);

    /* A part of the body. Return false to end the stream: the rest of it is not wanted. */
    bool (*data)(void *owner, uint32_t slot, const char *bytes, size_t count);
};

enum http2_ending {
    HTTP2_ANSWERED, /* the whole reply came */
    HTTP2_RESET,    /* the stream was reset before: by RST_STREAM, or by this end for what came */
    HTTP2_REFUSED   /* the server says that it did not process the request, so it may be sent again */
};

struct http2_end {
    uint32_t slot;
    enum http2_ending how;
    uint32_t code;      /* of RST_STREAM */
    bool by_server;     /* the server reset the stream */
    uint64_t end_byte;  /* so many bytes of the connection, the greeting included, are sent when the request is sent
                         * completely; UINT64_MAX: it ended before its end was listed to be sent */
    int64_t waited_ns;  /* how long the request waited for the server's flow-control windows */
};

/* Write the first bytes of every connection; return how many. 0 without memory. */
size_t http2_greeting(char to[HTTP2_GREETING_BYTES]);

/* Return how many bytes of a request's first piece are header fields with their lengths; 0 if they are malformed, or
 * more than is allowed. */
size_t http2_head_bytes(const char *piece, size_t count);

/* `slots`: how many requests may be under way at once. `pieces`: of a request at most. Return NULL without memory. */
struct http2 *http2_open(const struct http2_events *events, void *owner, uint32_t slots, size_t pieces);

void http2_close(struct http2 *h);

/* Take in what the server sent. After an error of the connection nothing more is taken in; http2_error explains it. */
void http2_receive(struct http2 *h, const char *bytes, size_t count);

/* Return why the connection is unusable; NULL: it is not. */
const char *http2_error(const struct http2 *h);

/* Return what the server seems to speak instead, by its first bytes; NULL: they may be HTTP/2. */
const char *http2_stranger(const struct http2 *h);

/* Return whether the server's SETTINGS came. */
bool http2_is_greeted(const struct http2 *h);

/* Return how many streams the server allows at once, its MAX_CONCURRENT_STREAMS. */
uint32_t http2_streams_max(const struct http2 *h);

/* Return whether no request may begin on the connection any more: the server sent GOAWAY, or the numbers of streams are
 * used up. */
bool http2_is_last(const struct http2 *h);

/* Return the words of the server's GOAWAY; NULL: it sent none. */
const char *http2_goaway(const struct http2 *h);

/* Begin a request in a free slot, which is returned; there must be one. `goes_on`: its body has no end, and more may be
 * appended. */
uint32_t http2_submit(struct http2 *h, const struct iovec *pieces, size_t count, bool goes_on);

/* Append to the body of a request that goes on. The pieces of its body that are not listed to be sent yet must not
 * become more than those of a request. */
void http2_append(struct http2 *h, uint32_t slot, const struct iovec *pieces, size_t count);

/* How far a request that goes on came. */
struct http2_progress {
    uint64_t body_bytes;   /* all that were given */
    uint64_t listed_bytes; /* those that were listed to be sent */
    int64_t waited_ns;     /* for the server's windows */
};

struct http2_progress http2_progress_of(const struct http2 *h, uint32_t slot);

/* Reset the stream of a request that is under way, and free its slot. Return how long it waited for the server's
 * windows. */
int64_t http2_cancel(struct http2 *h, uint32_t slot);

/* Ask the server for a sign of life, a PING, unless a question is open. Return false if it has been open for
 * `patience_ns`, without an answer to it or to any request. */
bool http2_probe(struct http2 *h, int64_t now_ns, int64_t patience_ns);

/* Take the end of a request, and free its slot. Return false if none has ended that was not taken yet. */
bool http2_next_end(struct http2 *h, struct http2_end *end);

/* Return whether http2_next_end would return an end. */
bool http2_has_end(const struct http2 *h);

/* Set a list of pieces to send, which stays valid until the next call; that comes when they are sent. `*count` 0: there
 * is nothing to send, and requests that are not sent completely wait for the server's windows. */
void http2_take(struct http2 *h, struct iovec **pieces, size_t *count);

/* Return the name of an error code of HTTP/2. */
const char *http2_code_name(uint32_t code);

#endif
