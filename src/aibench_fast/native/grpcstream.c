#include "grpcstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "grpc.h"
#include "http2.h"
#include "kind.h"
#include "oipmessage.h"
#include "wire.h"

#define FINAL "triton_final_response"

/* The numbers of the fields that are read. */
enum { STREAM_ERROR = 1, STREAM_RESPONSE = 2 };
enum { RESPONSE_ID = 3, RESPONSE_PARAMETERS = 4, RESPONSE_OUTPUTS = 5 };
enum { ENTRY_KEY = 1, ENTRY_VALUE = 2, PARAMETER_BOOL = 1 };

/* A request under way, in a slot. */
struct inference {
    bool is_busy; /* the slot is not free */
    uint64_t id;  /* its number on the connection; 0: it has ended */
    struct replycheck check; /* of its replies so far */
    char *head;              /* its part of the first text, with its id */
    size_t head_room;
    char *last; /* its newest reply */
    size_t last_bytes;
    size_t last_room;
    int64_t first_ns; /* when its first reply was whole; 0: none so far */
    uint32_t replies;
    uint64_t body_end;   /* of the call, when it is sent */
    int64_t waited_from; /* what the call had waited for windows when it began */
    int64_t waited_ns;
    bool is_sent;
    bool ends_with_call;
};

/* The head of a request that ended before it was sent: it may still be in the list to send. */
struct orphan {
    struct orphan *next;
    char *head;
};

struct stream_reader {
    struct replycheck *check;
    void *call; /* the reader of the one call */
    bool has_call;
    bool is_greeted;
    bool is_refused; /* how the last call ended */
    uint32_t call_slot;
    uint64_t taken_bytes; /* of the call: in the list to send, and all before */
    uint64_t numbers;     /* of ids that were given */
    struct orphan *orphans;
    uint32_t slots;
    uint32_t *ends; /* a ring of slots */
    uint32_t first_end;
    uint32_t end_count;
    uint32_t ended; /* the slot that was judged last */
    struct iovec *pieces;
    struct inference inferences[];
};

/* What a message of the stream says. */
struct streamed {
    struct wire error;
    struct wire response;
    uint64_t id; /* 0: none of ours */
    bool is_final;
    bool has_outputs;
    const char *why; /* it is malformed; NULL: it is not */
};

static bool grow(char **room, size_t *bytes, size_t needed)
{
    if (needed <= *bytes)
        return true;
    char *more = realloc(*room, 2 * needed);
    if (more == NULL)
        return false;
    *room = more;
    *bytes = 2 * needed;
    return true;
}

/* ---- Reading a message ---- */

static uint64_t read_id(const struct wire *text)
{
    uint64_t id = 0;
    if (wire_left(text) != GRPC_ID_BYTES)
        return 0;
    for (size_t i = 0; i < GRPC_ID_BYTES; i++) {
        if (text->at[i] < '0' || text->at[i] > '9')
            return 0;
        id = id * 10 + (uint64_t)(text->at[i] - '0');
    }
    return id;
}

static bool is_text(const struct wire *w, const char *text)
{
    return wire_left(w) == strlen(text) && memcmp(w->at, text, strlen(text)) == 0;
}

/* Read a parameter; without it a message is the last. */
static void read_parameter(struct wire entry, struct streamed *found)
{
    struct wire_field field, value;
    bool is_named = false, is_true = false;
    while (wire_next(&entry, &field)) {
        if (field.number == ENTRY_KEY && field.type == WIRE_BYTES)
            is_named = is_text(&field.bytes, FINAL);
        else if (field.number == ENTRY_VALUE && field.type == WIRE_BYTES)
            while (wire_next(&field.bytes, &value))
                if (value.number == PARAMETER_BOOL && value.type == WIRE_VARINT)
                    is_true = value.value != 0;
    }
    if (is_named)
        found->is_final = is_true;
}

static struct streamed read_message(const char *bytes, size_t count)
{
    struct streamed found = {.is_final = true};
    struct wire_field field;
    struct wire message = wire_of(bytes, count);
    while (wire_next(&message, &field)) {
        if (field.number == STREAM_ERROR && field.type == WIRE_BYTES)
            found.error = field.bytes;
        else if (field.number == STREAM_RESPONSE && field.type == WIRE_BYTES)
            found.response = field.bytes;
    }
    struct wire response = found.response;
    while (response.at != NULL && wire_next(&response, &field)) {
        if (field.number == RESPONSE_ID && field.type == WIRE_BYTES)
            found.id = read_id(&field.bytes);
        else if (field.number == RESPONSE_PARAMETERS && field.type == WIRE_BYTES)
            read_parameter(field.bytes, &found);
        found.has_outputs |= field.number == RESPONSE_OUTPUTS;
    }
    found.why = message.why ? message.why : response.why;
    return found;
}

/* ---- What comes ---- */

static void end(struct stream_reader *r, struct inference *one, bool with_call)
{
    one->id = 0;
    one->ends_with_call = with_call;
    r->ends[(r->first_end + r->end_count++) % r->slots] = (uint32_t)(one - r->inferences);
}

/* Return the inference that a message belongs to; an error may come without an id, and is the oldest one's. */
static struct inference *find(struct stream_reader *r, const struct streamed *found)
{
    struct inference *oldest = NULL;
    for (uint32_t i = 0; i < r->slots; i++) {
        struct inference *one = &r->inferences[i];
        if (one->id == 0)
            continue;
        if (one->id == found->id)
            return one;
        if (oldest == NULL || one->id < oldest->id)
            oldest = one;
    }
    return found->id == 0 && (wire_left(&found->error) > 0 || found->why) ? oldest : NULL;
}

static void keep(struct inference *one, const struct wire *reply)
{
    size_t bytes = wire_left(reply);
    if (!grow(&one->last, &one->last_room, bytes + 1)) {
        replycheck_fail(&one->check, FAILURE_PROTOCOL, "out of memory for a message of %zu bytes", bytes);
        return;
    }
    one->last_bytes = bytes;
    if (bytes > 0)
        memcpy(one->last, reply->at, bytes);
}

static void on_message(void *owner, const char *bytes, size_t count)
{
    struct stream_reader *r = owner;
    struct streamed found = read_message(bytes, count);
    struct inference *one = find(r, &found);
    if (one == NULL)
        return; /* of a request that was not answered in time */
    bool is_refusal = wire_left(&found.error) > 0, is_reply = found.has_outputs || !found.is_final;
    if (found.why)
        replycheck_fail(&one->check, FAILURE_WRONG_REPLY, "a malformed message: %s", found.why);
    if (is_refusal)
        replycheck_fail(&one->check, FAILURE_ERROR_REPLY, "%.*s", (int)wire_left(&found.error), found.error.at);
    bool is_last = found.is_final || is_refusal || found.why;
    if (is_reply && !is_refusal && one->replies++ == 0)
        one->first_ns = monotonic_ns();
    if (is_reply && one->check.kind == FAILURE_NONE) {
        keep(one, &found.response);
        if (!is_last)
            oipmessage_judge(&one->check, found.response.at, wire_left(&found.response));
    }
    if (is_last)
        end(r, one, false);
}

/* ---- A connection ---- */

static void close_reader(void *of)
{
    struct stream_reader *r = of;
    if (r->call != NULL)
        grpc_protocol.close(r->call);
    for (uint32_t i = 0; i < r->slots; i++) {
        free(r->inferences[i].head);
        free(r->inferences[i].last);
    }
    while (r->orphans != NULL) {
        struct orphan *next = r->orphans->next;
        free(r->orphans->head);
        free(r->orphans);
        r->orphans = next;
    }
    free(r->ends);
    free(r->pieces);
    free(r);
}

static void *open_reader(struct replycheck *check, const struct reader_size *size)
{
    struct stream_reader *r = calloc(1, sizeof *r + size->requests * sizeof r->inferences[0]);
    const struct reader_size call = { /* a piece more for each request: its fields, or its head */
        .unjudged_bytes = size->unjudged_bytes,
        .reply_bytes = size->requests * size->reply_bytes,
        .requests = 1,
        .pieces = size->requests * (size->pieces + 1),
    };
    if (r == NULL)
        return NULL;
    r->check = check;
    r->slots = size->requests;
    r->ends = calloc(size->requests, sizeof *r->ends);
    r->pieces = calloc(size->pieces + 1, sizeof *r->pieces);
    r->call = grpc_protocol.open(check, &call);
    if (r->ends == NULL || r->pieces == NULL || r->call == NULL) {
        close_reader(r);
        return NULL;
    }
    grpc_hand_over(r->call, on_message, r);
    return r;
}

static char *room(void *of, size_t *bytes)
{
    return grpc_protocol.room(((struct stream_reader *)of)->call, bytes);
}

static void came(void *of, size_t bytes)
{
    grpc_protocol.came(((struct stream_reader *)of)->call, bytes);
}

static bool next_end(struct stream_reader *r)
{
    if (r->end_count == 0)
        return false;
    r->ended = r->ends[r->first_end];
    r->first_end = (r->first_end + 1) % r->slots;
    r->end_count--;
    r->inferences[r->ended].is_busy = false;
    return true;
}

/* The call ended, and with it all that is under way. */
static void call_ended(struct stream_reader *r)
{
    struct stream_end how;
    grpc_protocol.streams->ended(r->call, &how);
    r->has_call = false;
    r->is_refused = how.is_refused;
    for (uint32_t i = 0; i < r->slots; i++)
        if (r->inferences[i].id != 0)
            end(r, &r->inferences[i], true);
}

static enum io_status judge(void *of)
{
    struct stream_reader *r = of;
    if (next_end(r))
        return IO_DONE;
    enum io_status status = grpc_protocol.judge(r->call);
    if (status == IO_DONE && !r->is_greeted) {
        r->is_greeted = true;
        return IO_DONE;
    }
    if (status == IO_DONE)
        call_ended(r);
    if (next_end(r))
        return IO_DONE;
    return status == IO_DONE ? IO_AGAIN : status;
}

static enum io_status ended(void *of)
{
    return grpc_protocol.ended(((struct stream_reader *)of)->call);
}

static bool has_unjudged(const void *of)
{
    const struct stream_reader *r = of;
    return r->end_count > 0 || grpc_protocol.has_unjudged(r->call);
}

static bool is_last(const void *of)
{
    return grpc_protocol.is_last(((const struct stream_reader *)of)->call);
}

static void settle(void *of)
{
    struct stream_reader *r = of;
    struct inference *one = &r->inferences[r->ended];
    if (one->check.kind != FAILURE_NONE)
        replycheck_fail(r->check, one->check.kind, "%s", one->check.message);
    else if (one->ends_with_call)
        grpc_judge_end(r->call);
    else if (one->last_bytes > 0)
        oipmessage_judge(r->check, one->last, one->last_bytes);
    else
        r->check->first_bytes = 0; /* it was answered before, or not at all */
}

/* ---- Streams ---- */

/* Give a request a head of its own, if that of the one before it in the slot is not sent. Return false without
 * memory. */
static bool make_head(struct stream_reader *r, struct inference *one, size_t bytes)
{
    if (!one->is_sent && one->head != NULL) {
        struct orphan *orphan = malloc(sizeof *orphan);
        if (orphan == NULL)
            return false;
        *orphan = (struct orphan){r->orphans, one->head};
        r->orphans = orphan;
        one->head = NULL;
        one->head_room = 0;
    }
    return grow(&one->head, &one->head_room, bytes);
}

/* Copy the message's beginning, with an id. */
static void write_head(struct inference *one, const char *text, size_t bytes, size_t id_at)
{
    char id[GRPC_ID_BYTES + 1];
    snprintf(id, sizeof id, "%0*llu", GRPC_ID_BYTES, (unsigned long long)one->id);
    memcpy(one->head, text, bytes);
    memcpy(one->head + id_at, id, GRPC_ID_BYTES);
}

static uint32_t submit(void *of, const struct request_kind *kind, const struct iovec *pieces, size_t count)
{
    struct stream_reader *r = of;
    uint32_t slot = 0;
    while (r->inferences[slot].is_busy)
        slot++;
    struct inference *one = &r->inferences[slot];
    const char *text = pieces[0].iov_base;
    size_t fields = http2_head_bytes(text, pieces[0].iov_len), head_bytes = pieces[0].iov_len - fields, used = 2;
    const char *head = text + fields;
    struct iovec rest = {0};
    if (head_bytes == 0) { /* formatted: the message is the next piece */
        head = pieces[1].iov_base;
        head_bytes = kind->id_at + GRPC_ID_BYTES;
        rest = (struct iovec){(void *)(head + head_bytes), pieces[1].iov_len - head_bytes};
        pieces++;
        count--;
    }
    bool has_head = make_head(r, one, head_bytes);
    one->is_busy = true;
    one->id = ++r->numbers;
    one->check.expected = kind;
    replycheck_start(&one->check, NULL);
    one->first_ns = one->waited_ns = 0;
    one->replies = 0;
    one->last_bytes = 0;
    one->is_sent = one->ends_with_call = false;
    if (!has_head) {
        replycheck_fail(&one->check, FAILURE_PROTOCOL, "out of memory");
        end(r, one, false);
        return slot;
    }
    write_head(one, head, head_bytes, kind->id_at);
    r->pieces[0] = (struct iovec){(void *)text, fields};
    r->pieces[1] = (struct iovec){one->head, head_bytes};
    if (rest.iov_len > 0)
        r->pieces[used++] = rest;
    memcpy(&r->pieces[used], &pieces[1], (count - 1) * sizeof *pieces);
    used += count - 1;
    if (r->has_call) {
        grpc_append(r->call, r->call_slot, kind, r->pieces + 1, used - 1);
    } else {
        r->call_slot = grpc_protocol.streams->submit(r->call, kind, r->pieces, used);
        r->taken_bytes = 0;
    }
    r->has_call = true;
    struct http2_progress progress = grpc_progress(r->call, r->call_slot);
    one->body_end = progress.body_bytes;
    one->waited_from = progress.waited_ns;
    return slot;
}

/* What was taken before is sent. */
static void take(void *of, struct iovec **pieces, size_t *count)
{
    struct stream_reader *r = of;
    int64_t waited_ns = r->has_call ? grpc_progress(r->call, r->call_slot).waited_ns : 0;
    for (uint32_t i = 0; i < r->slots && r->has_call; i++) {
        struct inference *one = &r->inferences[i];
        if (one->id == 0 || one->is_sent || one->body_end > r->taken_bytes)
            continue;
        one->is_sent = true;
        one->waited_ns = waited_ns - one->waited_from;
    }
    grpc_protocol.streams->take(r->call, pieces, count);
    if (r->has_call)
        r->taken_bytes = grpc_progress(r->call, r->call_slot).listed_bytes;
}

static void stream_ended(const void *of, struct stream_end *end)
{
    const struct stream_reader *r = of;
    const struct inference *one = &r->inferences[r->ended];
    *end = (struct stream_end){
        .slot = r->ended,
        .is_refused = one->ends_with_call && r->is_refused,
        .waited_ns = one->waited_ns,
        .first_reply_ns = one->first_ns,
        .replies = one->replies,
    };
}

/* A request that is not sent completely holds up those behind it: the call ends. */
static int64_t cancel(void *of, uint32_t slot)
{
    struct stream_reader *r = of;
    struct inference *one = &r->inferences[slot];
    int64_t waited_ns = one->waited_ns;
    one->id = 0;
    one->is_busy = false;
    if (!one->is_sent && r->has_call) {
        waited_ns = grpc_protocol.streams->cancel(r->call, r->call_slot) - one->waited_from;
        r->has_call = r->is_refused = false;
        for (uint32_t i = 0; i < r->slots; i++)
            if (r->inferences[i].id != 0) {
                replycheck_fail(&r->inferences[i].check, FAILURE_CLIENT_TIMEOUT,
                                "ended with its stream, on which an earlier request was not sent in time");
                end(r, &r->inferences[i], false);
            }
    }
    return waited_ns;
}

static bool probe(void *of, int64_t now_ns, int64_t patience_ns)
{
    return grpc_protocol.streams->probe(((struct stream_reader *)of)->call, now_ns, patience_ns);
}

static bool may_have_more(const void *of)
{
    return grpc_protocol.streams->may_have_more(((const struct stream_reader *)of)->call);
}

static const struct stream_protocol streams = {
    .submit = submit,
    .take = take,
    .ended = stream_ended,
    .cancel = cancel,
    .probe = probe,
    .may_have_more = may_have_more,
};

const struct protocol grpc_stream_protocol = {
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
