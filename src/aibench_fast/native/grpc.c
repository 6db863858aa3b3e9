#include "grpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http2.h"
#include "kind.h"
#include "oipmessage.h"

#define ROOM_BYTES_MIN (16 * 1024)
#define ROOM_BYTES_MAX (256 * 1024) /* more would leave the processor's cache before it is read */
#define MESSAGE_SPARE_BYTES 4096    /* beyond the trial's message: numbers and times may be longer */
#define MESSAGE_OVER_BYTES (1024 * 1024) /* a message so much longer than the longest allowed is not read */
#define PREFIX_BYTES 5
#define VALUE_BYTES 64
#define HTTP_OK 200

/* The reply to the request in a slot. */
struct reply {
    const struct request_kind *kind;
    int http_status;
    int status; /* grpc-status, or GRPC_NO_STATUS */
    char content_type[VALUE_BYTES];
    char encoding[VALUE_BYTES]; /* grpc-encoding */
    errstr_t words;             /* grpc-message */
    char *data;                 /* what came, the message's prefix included */
    size_t data_bytes;
    size_t room;
    bool is_too_long;
    bool has_no_memory;
    bool is_compressed;
};

struct grpc_reader {
    struct replycheck *check;
    struct http2 *http2;
    char *room; /* what is received, until nghttp2 has read it */
    size_t room_bytes;
    size_t filled;
    bool may_have_more;
    bool is_greeted;
    void (*message)(void *owner, const char *bytes, size_t count); /* NULL: a reply is one message, which is kept */
    void *owner;
    uint32_t slots;
    struct http2_end end; /* of the request that was judged last */
    struct reply replies[];
};

/* ---- What comes on a stream ---- */

/* Keep what fits, as text. */
static void keep(char *to, size_t room, const char *value, size_t bytes)
{
    size_t kept = bytes < room - 1 ? bytes : room - 1;
    memcpy(to, value, kept);
    to[kept] = '\0';
}
#define KEEP(to, value, bytes) keep(to, sizeof to, value, bytes)

#define IS(text) (name_bytes == sizeof text - 1 && memcmp(name, text, sizeof text - 1) == 0)

static void on_field(void *owner, uint32_t slot, const char *name, size_t name_bytes, const char *value,
                     size_t value_bytes)
{
    struct reply *reply = &((struct grpc_reader *)owner)->replies[slot];
    if (IS(":status"))
        reply->http_status = grpcstatus_read(value, value_bytes); /* as many digits */
    else if (IS("grpc-status"))
        reply->status = grpcstatus_read(value, value_bytes);
    else if (IS("content-type"))
        KEEP(reply->content_type, value, value_bytes);
    else if (IS("grpc-encoding"))
        KEEP(reply->encoding, value, value_bytes);
    else if (IS("grpc-message"))
        grpcstatus_message(value, value_bytes, reply->words);
}

/* Return how many bytes of a reply are read, at most. */
static size_t longest_bytes(const struct request_kind *kind)
{
    return kind->output_bytes_max + kind->text_bytes + MESSAGE_OVER_BYTES;
}

/* Return the length of a message by its prefix. */
static size_t announced_bytes(const unsigned char *prefix)
{
    return (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 | prefix[4];
}

/* Make room for so many bytes. */
static bool make_room(struct reply *reply, size_t bytes)
{
    char *data = realloc(reply->data, 2 * bytes);
    if (data == NULL)
        return false;
    reply->data = data;
    reply->room = 2 * bytes;
    return true;
}

/* Hand over the messages that are whole. Return false for one that is compressed. */
static bool hand_over(struct grpc_reader *r, struct reply *reply)
{
    size_t from = 0;
    while (reply->data_bytes - from >= PREFIX_BYTES) {
        const unsigned char *prefix = (const unsigned char *)reply->data + from;
        size_t bytes = announced_bytes(prefix);
        reply->is_compressed = prefix[0] != 0;
        if (reply->is_compressed || reply->data_bytes - from - PREFIX_BYTES < bytes)
            break;
        r->message(r->owner, reply->data + from + PREFIX_BYTES, bytes);
        from += PREFIX_BYTES + bytes;
    }
    reply->data_bytes -= from;
    memmove(reply->data, reply->data + from, reply->data_bytes);
    return !reply->is_compressed;
}

static bool on_data(void *owner, uint32_t slot, const char *bytes, size_t count)
{
    struct grpc_reader *r = owner;
    struct reply *reply = &r->replies[slot];
    size_t needed = reply->data_bytes + count;
    reply->is_too_long = needed > longest_bytes(reply->kind);
    if (!reply->is_too_long && needed > reply->room)
        reply->has_no_memory = !make_room(reply, needed);
    if (reply->is_too_long || reply->has_no_memory)
        return false;
    memcpy(reply->data + reply->data_bytes, bytes, count);
    reply->data_bytes = needed;
    return r->message == NULL || hand_over(r, reply);
}

static const struct http2_events events = {.field = on_field, .data = on_data};

/* ---- A connection ---- */

static void close_reader(void *of)
{
    struct grpc_reader *r = of;
    if (r->http2 != NULL)
        http2_close(r->http2);
    for (uint32_t i = 0; i < r->slots; i++)
        free(r->replies[i].data);
    free(r->room);
    free(r);
}

static void *open_reader(struct replycheck *check, const struct reader_size *size)
{
    struct grpc_reader *r = calloc(1, sizeof *r + size->requests * sizeof r->replies[0]);
    if (r == NULL)
        return NULL;
    r->check = check;
    r->slots = size->requests;
    r->room_bytes = size->unjudged_bytes < ROOM_BYTES_MIN   ? ROOM_BYTES_MIN
                    : size->unjudged_bytes > ROOM_BYTES_MAX ? ROOM_BYTES_MAX
                                                            : size->unjudged_bytes;
    r->room = malloc(r->room_bytes);
    r->http2 = http2_open(&events, r, size->requests, size->pieces);
    bool has_all = r->room != NULL && r->http2 != NULL;
    for (uint32_t i = 0; i < r->slots && has_all; i++) {
        r->replies[i].room = size->reply_bytes + MESSAGE_SPARE_BYTES;
        r->replies[i].data = malloc(r->replies[i].room);
        has_all = r->replies[i].data != NULL;
    }
    if (has_all)
        return r;
    close_reader(r);
    return NULL;
}

static char *room(void *of, size_t *bytes)
{
    struct grpc_reader *r = of;
    *bytes = r->room_bytes - r->filled;
    return r->room + r->filled;
}

static void came(void *of, size_t bytes)
{
    struct grpc_reader *r = of;
    r->filled += bytes;
    r->may_have_more = r->filled == r->room_bytes;
}

/* The server's SETTINGS came. More streams than it allows would wait in the client. */
static enum io_status greeted(struct grpc_reader *r)
{
    uint32_t most = http2_streams_max(r->http2);
    r->is_greeted = true;
    if (most < r->slots)
        replycheck_fail(r->check, FAILURE_CONNECT,
                        "the server allows %u concurrent streams on a connection (MAX_CONCURRENT_STREAMS), --pipeline "
                        "is %u: lower it, and use more workers",
                        most, r->slots);
    return IO_DONE;
}

static enum io_status judge(void *of)
{
    struct grpc_reader *r = of;
    if (r->filled > 0)
        http2_receive(r->http2, r->room, r->filled);
    r->filled = 0;
    if (http2_next_end(r->http2, &r->end))
        return IO_DONE;
    const char *error = http2_error(r->http2), *stranger = http2_stranger(r->http2);
    if (error == NULL && !r->is_greeted && http2_is_greeted(r->http2))
        return greeted(r);
    if (error == NULL)
        return IO_AGAIN;
    if (stranger != NULL)
        replycheck_fail(r->check, FAILURE_PROTOCOL, "the server speaks %s, not HTTP/2: give its port of gRPC", stranger);
    else
        replycheck_fail(r->check, FAILURE_PROTOCOL, "%s", error);
    return IO_FAILED;
}

static enum io_status ended(void *of)
{
    struct grpc_reader *r = of;
    const char *goaway = http2_goaway(r->http2), *stranger = http2_stranger(r->http2);
    if (stranger != NULL)
        replycheck_fail(r->check, FAILURE_PROTOCOL, "the server speaks %s, not HTTP/2: give its port of gRPC", stranger);
    else if (goaway != NULL)
        replycheck_fail(r->check, FAILURE_CONNECTION_LOST, "the server closed the connection: %s", goaway);
    else
        replycheck_fail(r->check, FAILURE_CONNECTION_LOST, "the server closed the connection");
    return IO_FAILED;
}

static bool has_unjudged(const void *of)
{
    const struct grpc_reader *r = of;
    return r->filled > 0 || http2_has_end(r->http2) || http2_error(r->http2) != NULL;
}

static bool is_last(const void *of)
{
    const struct grpc_reader *r = of;
    return http2_is_last(r->http2) || http2_error(r->http2) != NULL;
}

/* ---- Judging a reply ---- */

/* Return how many bytes came after the prefix. */
static size_t message_bytes(const struct reply *reply)
{
    return reply->data_bytes - PREFIX_BYTES;
}

/* The server refused, with a status other than OK. */
static void judge_status(struct grpc_reader *r, const struct reply *reply)
{
    enum failure_kind kind = grpcstatus_kind(reply->status);
    if (reply->status < GRPC_STATUSES)
        replycheck_fail(r->check, kind, "gRPC %s: %.200s", grpcstatus_names[reply->status], reply->words);
    else
        replycheck_fail(r->check, kind, "gRPC status %d: %.200s", reply->status, reply->words);
}

static void note_compressed(struct grpc_reader *r, const struct reply *reply)
{
    replycheck_fail(r->check, FAILURE_WRONG_REPLY,
                    "the reply is compressed, which was not requested (grpc-encoding: %s)",
                    reply->encoding[0] ? reply->encoding : "none");
}

/* Judge the framing of the message; return whether it is whole. */
static bool judge_frame(struct grpc_reader *r, const struct reply *reply)
{
    const unsigned char *prefix = (const unsigned char *)reply->data;
    if (reply->data_bytes < PREFIX_BYTES) {
        replycheck_fail(r->check, FAILURE_WRONG_REPLY, "grpc-status OK without a message");
        return false;
    }
    size_t announced = announced_bytes(prefix), bytes = message_bytes(reply);
    if (prefix[0] != 0)
        note_compressed(r, reply);
    else if (bytes < announced)
        replycheck_fail(r->check, FAILURE_WRONG_SIZE, "a message of %zu bytes, of which %zu came", announced, bytes);
    else if (bytes > announced)
        replycheck_fail(r->check, FAILURE_WRONG_SIZE, "a message of %zu bytes, and %zu more after it", announced,
                        bytes - announced);
    else
        return true;
    return false;
}

static void judge_reset(struct grpc_reader *r, const struct reply *reply)
{
    if (reply->is_compressed)
        note_compressed(r, reply);
    else if (reply->is_too_long)
        replycheck_fail(r->check, FAILURE_WRONG_SIZE, "a message of over %zu bytes", reply->data_bytes);
    else if (reply->has_no_memory)
        replycheck_fail(r->check, FAILURE_PROTOCOL, "out of memory for a message of over %zu bytes", reply->data_bytes);
    else if (r->end.by_server)
        replycheck_fail(r->check, FAILURE_PROTOCOL, "RST_STREAM: %s", http2_code_name(r->end.code));
    else
        replycheck_fail(r->check, FAILURE_PROTOCOL, "the reply breaks the rules of HTTP/2 (%s)",
                        http2_code_name(r->end.code));
}

/* Judge how the call ended; return whether it did well. */
static bool judge_ending(struct grpc_reader *r, const struct reply *reply)
{
    if (r->end.how == HTTP2_REFUSED)
        replycheck_fail(r->check, FAILURE_UNAVAILABLE, "REFUSED_STREAM, also when sent again");
    else if (r->end.how == HTTP2_RESET)
        judge_reset(r, reply);
    else if (reply->status > GRPC_OK)
        judge_status(r, reply);
    else if (reply->http_status != HTTP_OK)
        replycheck_fail(r->check, failure_of_http(reply->http_status), "HTTP %d, which is not of gRPC",
                        reply->http_status);
    else if (strncmp(reply->content_type, "application/grpc", strlen("application/grpc")) != 0)
        replycheck_fail(r->check, FAILURE_WRONG_REPLY, "the reply's content-type is %s, not application/grpc",
                        reply->content_type[0] ? reply->content_type : "missing");
    else if (reply->status == GRPC_NO_STATUS)
        replycheck_fail(r->check, FAILURE_PROTOCOL, "a reply without a grpc-status");
    else
        return true;
    return false;
}

/* Judge everything but the content of the message; return whether there is one. */
static bool judge_call(struct grpc_reader *r, const struct reply *reply)
{
    return judge_ending(r, reply) && judge_frame(r, reply);
}

static void settle(void *of)
{
    struct grpc_reader *r = of;
    const struct reply *reply = &r->replies[r->end.slot];
    if (judge_call(r, reply))
        oipmessage_judge(r->check, reply->data + PREFIX_BYTES, message_bytes(reply));
}

void grpc_answered(void *reader, bool has_several, struct grpc_answer *answer)
{
    struct grpc_reader *r = reader;
    const struct reply *reply = &r->replies[r->end.slot];
    bool is_refusal = reply->status > GRPC_OK || reply->http_status != HTTP_OK;
    *answer = (struct grpc_answer){.http_status = reply->http_status, .status = reply->status};
    memcpy(answer->words, reply->words, sizeof answer->words);
    answer->is_refused = r->end.how == HTTP2_REFUSED;
    if (answer->is_refused || (r->end.how == HTTP2_ANSWERED && is_refusal))
        return;
    if (has_several && judge_ending(r, reply)) {
        answer->message = reply->data;
        answer->message_bytes = reply->data_bytes;
    } else if (!has_several && judge_call(r, reply)) {
        answer->message = reply->data + PREFIX_BYTES;
        answer->message_bytes = message_bytes(reply);
    }
}

void grpc_hand_over(void *reader, void (*message)(void *owner, const char *bytes, size_t count), void *owner)
{
    struct grpc_reader *r = reader;
    r->message = message;
    r->owner = owner;
}

void grpc_append(void *reader, uint32_t slot, const struct request_kind *kind, const struct iovec *pieces, size_t count)
{
    struct grpc_reader *r = reader;
    if (longest_bytes(kind) > longest_bytes(r->replies[slot].kind))
        r->replies[slot].kind = kind;
    http2_append(r->http2, slot, pieces, count);
}

struct http2_progress grpc_progress(const void *reader, uint32_t slot)
{
    const struct grpc_reader *r = reader;
    return http2_progress_of(r->http2, slot);
}

void grpc_judge_end(void *reader)
{
    struct grpc_reader *r = reader;
    const struct reply *reply = &r->replies[r->end.slot];
    bool is_over = r->end.how == HTTP2_ANSWERED && reply->status == GRPC_OK && reply->data_bytes == 0;
    if (is_over)
        replycheck_fail(r->check, FAILURE_PROTOCOL, "the server ended the stream of inferences");
    else if (judge_call(r, reply))
        replycheck_fail(r->check, FAILURE_PROTOCOL, "the server ended the stream of inferences within a message");
}

/* ---- Streams ---- */

static uint32_t submit(void *of, const struct request_kind *kind, const struct iovec *pieces, size_t count)
{
    struct grpc_reader *r = of;
    uint32_t slot = http2_submit(r->http2, pieces, count, r->message != NULL);
    struct reply *reply = &r->replies[slot];
    reply->kind = kind;
    reply->http_status = 0;
    reply->status = GRPC_NO_STATUS;
    reply->content_type[0] = reply->encoding[0] = reply->words[0] = '\0';
    reply->data_bytes = 0;
    reply->is_too_long = reply->has_no_memory = reply->is_compressed = false;
    return slot;
}

static void take(void *of, struct iovec **pieces, size_t *count)
{
    struct grpc_reader *r = of;
    http2_take(r->http2, pieces, count);
}

static void stream_ended(const void *of, struct stream_end *end)
{
    const struct grpc_reader *r = of;
    *end = (struct stream_end){
        .slot = r->end.slot,
        .is_refused = r->end.how == HTTP2_REFUSED,
        .end_byte = r->end.end_byte,
        .waited_ns = r->end.waited_ns,
    };
}

static int64_t cancel(void *of, uint32_t slot)
{
    struct grpc_reader *r = of;
    return http2_cancel(r->http2, slot);
}

static bool probe(void *of, int64_t now_ns, int64_t patience_ns)
{
    struct grpc_reader *r = of;
    return http2_probe(r->http2, now_ns, patience_ns);
}

static bool may_have_more(const void *of)
{
    const struct grpc_reader *r = of;
    return r->may_have_more;
}

static const struct stream_protocol streams = {
    .submit = submit,
    .take = take,
    .ended = stream_ended,
    .cancel = cancel,
    .probe = probe,
    .may_have_more = may_have_more,
};

const struct protocol grpc_protocol = {
    .may_pipeline = true,
    .peer_may_close = true,
    .open = open_reader,
    .room = room,
    .came = came,
    .judge = judge,
    .ended = ended,
    .has_unjudged = has_unjudged,
    .settle = settle,
    .is_last = is_last,
    .close = close_reader,
    .streams = &streams,
};
