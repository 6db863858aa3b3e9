#include "http2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nghttp2/nghttp2.h>

#include "clock.h"
#include "errstr.h"
#include "mempool.h"

#define OWN_WINDOW_BYTES INT32_MAX      /* a reply is never held up by ours */
#define OWN_FRAME_BYTES_MAX 16777215    /* as large as HTTP/2 has them */
#define SLAB_BYTES (64 * 1024)
#define SLAB_BYTES_A_SLOT 4096
#define LIST_PIECES_MIN 256     /* of the list to send, with the frames of some hundred KiB */
#define CONTROL_BYTES (8 * 1024) /* of frames and frame heads in that list */
#define CONTROL_BYTES_LEFT 64
#define FRAME_HEAD_BYTES 9
#define FRAME_TYPE_AT 3
#define LAST_STREAM_ID (INT32_MAX - 4096)
#define FIRST_BYTES 8

struct stream {
    int32_t id;           /* 0: the slot is free, or its end is not taken yet */
    struct iovec *pieces; /* room for those of a request */
    struct iovec *left;   /* those of the body that are in no frame yet */
    size_t left_pieces;
    uint64_t left_bytes;
    uint64_t body_bytes; /* all that were given */
    bool goes_on;        /* more may be appended */
    int64_t blocked_ns; /* since when it waits for a window; 0: it does not */
    int64_t waited_ns;
    uint64_t end_byte;
    bool is_reset; /* by the server */
};

struct http2 {
    nghttp2_session *session;
    struct mempool *pool;
    const struct http2_events *events;
    void *owner;
    uint32_t slots;
    uint32_t unsent; /* how many requests have a part of their body in no frame yet */
    struct stream *streams; /* one for each slot, as in the next four */
    struct iovec *pieces;
    struct http2_end *ends; /* a ring */
    uint32_t *free_slots;
    uint32_t free_count;
    uint32_t first_end;
    uint32_t end_count;
    struct iovec *list;
    size_t list_room;
    size_t list_count;
    size_t reserve; /* the most pieces that a frame adds */
    uint64_t listed_bytes; /* in this list and all before */
    bool is_taken;  /* the list is being sent */
    bool is_full;
    size_t control_bytes;
    char control[CONTROL_BYTES];
    char first[FIRST_BYTES]; /* that came */
    size_t first_bytes;
    int64_t asked_ns; /* since when the server owes a sign of life; 0: it does not */
    bool is_greeted;
    bool is_last;
    bool has_goaway;
    bool has_error;
    errstr_t goaway;
    errstr_t error;
};

static void set_error(struct http2 *h, const char *why)
{
    if (!h->has_error)
        snprintf(h->error, sizeof h->error, "HTTP/2: %.240s", why);
    h->has_error = true;
}

/* ---- The list to send ---- */

static bool has_room(const struct http2 *h)
{
    return h->list_room - h->list_count >= h->reserve &&
           CONTROL_BYTES - h->control_bytes >= CONTROL_BYTES_LEFT;
}

/* Add bytes that are copied; what precedes them in the list may be copied bytes too. */
static void add_control(struct http2 *h, const void *bytes, size_t count)
{
    char *to = h->control + h->control_bytes;
    struct iovec *last = h->list + h->list_count - 1;
    memcpy(to, bytes, count);
    h->control_bytes += count;
    h->listed_bytes += count;
    if (h->list_count > 0 && (char *)last->iov_base + last->iov_len == to)
        last->iov_len += count;
    else
        h->list[h->list_count++] = (struct iovec){to, count};
}

/* Add a part of a body. */
static void add_slice(struct http2 *h, struct stream *s, size_t bytes)
{
    s->left_bytes -= bytes;
    h->listed_bytes += bytes;
    if (s->left_bytes == 0)
        s->end_byte = h->listed_bytes;
    while (bytes > 0) {
        size_t part = s->left->iov_len < bytes ? s->left->iov_len : bytes;
        h->list[h->list_count++] = (struct iovec){s->left->iov_base, part};
        bytes -= part;
        s->left->iov_base = (char *)s->left->iov_base + part;
        s->left->iov_len -= part;
        if (s->left->iov_len == 0) {
            s->left++;
            s->left_pieces--;
        }
    }
}

/* A frame that this end makes itself ends the connection: nghttp2 says what was wrong. */
static void note_own_goaway(struct http2 *h, const uint8_t *frame, size_t bytes)
{
    size_t words_at = FRAME_HEAD_BYTES + 8;
    uint32_t code = (uint32_t)frame[words_at - 4] << 24 | (uint32_t)frame[words_at - 3] << 16 |
                    (uint32_t)frame[words_at - 2] << 8 | frame[words_at - 1];
    errstr_t words;
    snprintf(words, sizeof words, "%s%s%.*s", nghttp2_http2_strerror(code), bytes > words_at ? ", " : "",
             (int)(bytes - words_at), (const char *)frame + words_at);
    set_error(h, words);
}

/* Bring frames into the list, until nghttp2 has none or the list is full. */
static void pump(struct http2 *h)
{
    const uint8_t *bytes;
    while (!h->is_full) {
        nghttp2_ssize count = nghttp2_session_mem_send2(h->session, &bytes);
        if (count < 0)
            set_error(h, nghttp2_strerror((int)count));
        if (count <= 0)
            return;
        if (bytes[FRAME_TYPE_AT] == NGHTTP2_GOAWAY && count >= FRAME_HEAD_BYTES + 8)
            note_own_goaway(h, bytes, (size_t)count);
        if ((size_t)count <= CONTROL_BYTES - h->control_bytes) {
            add_control(h, bytes, (size_t)count);
            h->is_full = !has_room(h);
        } else {
            /* It stays valid until nghttp2 is asked for more. */
            h->list[h->list_count++] = (struct iovec){(void *)bytes, (size_t)count};
            h->listed_bytes += (size_t)count;
            h->is_full = true;
        }
    }
}

/* Note which requests wait for a window. */
static void note_blocked(struct http2 *h)
{
    int64_t now_ns = monotonic_ns();
    for (uint32_t i = 0; i < h->slots; i++)
        if (h->streams[i].id && h->streams[i].left_bytes > 0 && h->streams[i].blocked_ns == 0)
            h->streams[i].blocked_ns = now_ns;
}

/* Begin a new list: the one before is sent. */
static void clear_list(struct http2 *h)
{
    h->list_count = 0;
    h->control_bytes = 0;
    h->is_full = false;
    h->is_taken = false;
}

void http2_take(struct http2 *h, struct iovec **pieces, size_t *count)
{
    if (h->is_taken)
        clear_list(h);
    pump(h);
    h->is_taken = h->list_count > 0;
    *pieces = h->list;
    *count = h->list_count;
    if (h->list_count == 0 && h->unsent > 0)
        note_blocked(h);
}

/* ---- What nghttp2 calls ---- */

static void unblock(struct stream *s)
{
    if (s->blocked_ns)
        s->waited_ns += monotonic_ns() - s->blocked_ns;
    s->blocked_ns = 0;
}

static nghttp2_ssize frame_bytes(nghttp2_session *session, uint8_t type, int32_t id, int32_t connection_window,
                                 int32_t stream_window, uint32_t frame_bytes_max, void *user)
{
    const struct stream *s = nghttp2_session_get_stream_user_data(session, id);
    (void)type;
    (void)connection_window;
    (void)stream_window;
    (void)user;
    if (s == NULL || s->id != id || s->left_bytes >= frame_bytes_max)
        return frame_bytes_max;
    return s->left_bytes > 0 ? (nghttp2_ssize)s->left_bytes : 1;
}

static nghttp2_ssize read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                               nghttp2_data_source *source, void *user)
{
    const struct stream *s = source->ptr;
    (void)session;
    (void)to;
    (void)user;
    if (s->id != id)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (s->left_bytes == 0)
        return NGHTTP2_ERR_DEFERRED; /* until more is appended */
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (s->left_bytes > room)
        return (nghttp2_ssize)room;
    if (!s->goes_on)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (nghttp2_ssize)s->left_bytes;
}

static int send_body(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t bytes,
                     nghttp2_data_source *source, void *user)
{
    struct http2 *h = user;
    struct stream *s = source->ptr;
    (void)session;
    if (s->id != frame->hd.stream_id)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    unblock(s);
    add_control(h, head, FRAME_HEAD_BYTES);
    add_slice(h, s, bytes);
    h->unsent -= s->left_bytes == 0;
    h->is_full = !has_room(h);
    return h->is_full ? NGHTTP2_ERR_PAUSE : 0;
}

/* Note that the stream has ended; later events of it are ignored. */
static void end(struct http2 *h, struct stream *s, enum http2_ending how, uint32_t code)
{
    unblock(s);
    h->ends[(h->first_end + h->end_count++) % h->slots] = (struct http2_end){
        .slot = (uint32_t)(s - h->streams),
        .how = how,
        .code = code,
        .by_server = s->is_reset,
        .end_byte = s->end_byte,
        .waited_ns = s->waited_ns,
    };
    h->unsent -= s->left_bytes > 0;
    s->left_bytes = 0;
    s->id = 0;
}

static struct stream *stream_of(nghttp2_session *session, int32_t id)
{
    struct stream *s = id ? nghttp2_session_get_stream_user_data(session, id) : NULL;
    return s != NULL && s->id == id ? s : NULL;
}

static int on_field(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_bytes,
                    const uint8_t *value, size_t value_bytes, uint8_t flags, void *user)
{
    struct http2 *h = user;
    struct stream *s = stream_of(session, frame->hd.stream_id);
    (void)flags;
    if (s != NULL)
        h->events->field(h->owner, (uint32_t)(s - h->streams), (const char *)name, name_bytes,
                         (const char *)value, value_bytes);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t count, void *user)
{
    struct http2 *h = user;
    struct stream *s = stream_of(session, id);
    (void)flags;
    if (s != NULL && !h->events->data(h->owner, (uint32_t)(s - h->streams), (const char *)bytes, count)) {
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
        end(h, s, HTTP2_RESET, NGHTTP2_CANCEL);
    }
    return 0;
}

static void note_goaway(struct http2 *h, const nghttp2_goaway *frame)
{
    h->is_last = true;
    h->has_goaway = true;
    snprintf(h->goaway, sizeof h->goaway, "GOAWAY, %s%s%.*s", nghttp2_http2_strerror(frame->error_code),
             frame->opaque_data_len ? ": " : "", (int)frame->opaque_data_len, (const char *)frame->opaque_data);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http2 *h = user;
    struct stream *s = stream_of(session, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_SETTINGS)
        h->is_greeted |= !(frame->hd.flags & NGHTTP2_FLAG_ACK);
    else if (frame->hd.type == NGHTTP2_GOAWAY)
        note_goaway(h, &frame->goaway);
    else if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK))
        h->asked_ns = 0;
    if (s == NULL)
        return 0;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        s->is_reset = true;
    } else if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) { /* of HEADERS or DATA */
        if (s->left_bytes > 0 || s->goes_on)
            nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
        h->asked_ns = 0;
        end(h, s, HTTP2_ANSWERED, 0);
    }
    return 0;
}

static int on_stream_closed(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct stream *s = stream_of(session, id);
    if (s != NULL)
        end(user, s, code == NGHTTP2_REFUSED_STREAM ? HTTP2_REFUSED : HTTP2_RESET, code);
    return 0;
}

/* ---- A connection ---- */

static void *take_memory(size_t bytes, void *pool)
{
    return mempool_take(pool, bytes);
}

static void give_memory(void *block, void *pool)
{
    mempool_give(pool, block);
}

static void *take_cleared(size_t count, size_t bytes, void *pool)
{
    size_t whole;
    if (__builtin_mul_overflow(count, bytes, &whole))
        return NULL;
    void *block = mempool_take(pool, whole);
    return block ? memset(block, 0, whole) : NULL;
}

static void *resize_memory(void *block, size_t bytes, void *pool)
{
    return mempool_resize(pool, block, bytes);
}

static bool set_callbacks(nghttp2_session_callbacks **callbacks)
{
    if (nghttp2_session_callbacks_new(callbacks) != 0)
        return false;
    nghttp2_session_callbacks_set_data_source_read_length_callback2(*callbacks, frame_bytes);
    nghttp2_session_callbacks_set_send_data_callback(*callbacks, send_body);
    nghttp2_session_callbacks_set_on_header_callback(*callbacks, on_field);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(*callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(*callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(*callbacks, on_stream_closed);
    return true;
}

/* Make a session whose first bytes are queued. */
static nghttp2_session *open_session(struct http2 *h)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, OWN_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, OWN_FRAME_BYTES_MAX},
    };
    nghttp2_mem memory = {h->pool, take_memory, give_memory, take_cleared, resize_memory};
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *session = NULL;
    if (!set_callbacks(&callbacks))
        return NULL;
    int failed = nghttp2_session_client_new3(&session, callbacks, h, NULL, &memory);
    nghttp2_session_callbacks_del(callbacks);
    if (!failed && nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings,
                                           sizeof settings / sizeof settings[0]) == 0 &&
        nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, OWN_WINDOW_BYTES) == 0)
        return session;
    nghttp2_session_del(session);
    return NULL;
}

void http2_close(struct http2 *h)
{
    nghttp2_session_del(h->session);
    if (h->pool != NULL)
        mempool_close(h->pool);
    free(h->streams);
    free(h->pieces);
    free(h->ends);
    free(h->free_slots);
    free(h->list);
    free(h);
}

/* As http2_open; the list is the greeting. */
static struct http2 *open_with_greeting(const struct http2_events *events, void *owner, uint32_t slots, size_t pieces)
{
    struct http2 *h = calloc(1, sizeof *h);
    if (h == NULL)
        return NULL;
    h->events = events;
    h->owner = owner;
    h->slots = slots;
    h->reserve = pieces + 2; /* its head, and a part of each piece; or a frame that was not copied */
    h->list_room = 2 * h->reserve > LIST_PIECES_MIN ? 2 * h->reserve : LIST_PIECES_MIN;
    h->pool = mempool_open(SLAB_BYTES + (size_t)slots * SLAB_BYTES_A_SLOT);
    h->streams = calloc(slots, sizeof *h->streams);
    h->pieces = calloc(slots * pieces, sizeof *h->pieces);
    h->ends = calloc(slots, sizeof *h->ends);
    h->free_slots = calloc(slots, sizeof *h->free_slots);
    h->list = calloc(h->list_room, sizeof *h->list);
    if (h->pool == NULL || h->streams == NULL || h->pieces == NULL || h->ends == NULL || h->free_slots == NULL ||
        h->list == NULL || (h->session = open_session(h)) == NULL) {
        http2_close(h);
        return NULL;
    }
    for (uint32_t i = 0; i < slots; i++) {
        h->streams[i].pieces = h->pieces + i * pieces;
        h->free_slots[h->free_count++] = slots - 1 - i;
    }
    pump(h);
    return h;
}

struct http2 *http2_open(const struct http2_events *events, void *owner, uint32_t slots, size_t pieces)
{
    struct http2 *h = open_with_greeting(events, owner, slots, pieces);
    if (h != NULL)
        clear_list(h); /* which the caller sends by itself */
    return h;
}

size_t http2_greeting(char to[HTTP2_GREETING_BYTES])
{
    static const struct http2_events none;
    size_t bytes = 0;
    struct http2 *h = open_with_greeting(&none, NULL, 1, 1);
    if (h == NULL)
        return 0;
    for (size_t i = 0; i < h->list_count; i++) {
        memcpy(to + bytes, h->list[i].iov_base, h->list[i].iov_len);
        bytes += h->list[i].iov_len;
    }
    http2_close(h);
    return bytes;
}

void http2_receive(struct http2 *h, const char *bytes, size_t count)
{
    if (h->first_bytes < FIRST_BYTES) {
        size_t kept = FIRST_BYTES - h->first_bytes < count ? FIRST_BYTES - h->first_bytes : count;
        memcpy(h->first + h->first_bytes, bytes, kept);
        h->first_bytes += kept;
    }
    if (h->has_error)
        return;
    nghttp2_ssize taken = nghttp2_session_mem_recv2(h->session, (const uint8_t *)bytes, count);
    if (taken < 0)
        set_error(h, nghttp2_strerror((int)taken));
    /* An error of the connection shows in the frame that answers it. */
    if (!h->is_taken && nghttp2_session_want_write(h->session))
        pump(h);
}

const char *http2_error(const struct http2 *h)
{
    return h->has_error ? h->error : NULL;
}

const char *http2_stranger(const struct http2 *h)
{
    if (h->first_bytes >= 5 && memcmp(h->first, "HTTP/", 5) == 0)
        return "HTTP/1.1";
    if (h->first_bytes >= 3 && (h->first[0] == 0x15 || h->first[0] == 0x16) && h->first[1] == 3)
        return "TLS";
    if (h->first_bytes >= 1 && (h->first[0] == '-' || h->first[0] == '+'))
        return "RESP";
    return NULL;
}

bool http2_is_greeted(const struct http2 *h)
{
    return h->is_greeted;
}

uint32_t http2_streams_max(const struct http2 *h)
{
    return nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

bool http2_is_last(const struct http2 *h)
{
    return h->is_last;
}

const char *http2_goaway(const struct http2 *h)
{
    return h->has_goaway ? h->goaway : NULL;
}

/* ---- Requests ---- */

static size_t little_endian(const unsigned char *bytes, size_t count)
{
    size_t value = 0;
    while (count-- > 0)
        value = value << 8 | bytes[count];
    return value;
}

/* Read the header fields of a well-formed request; return how many there are. */
static size_t read_fields(const char *piece, nghttp2_nv fields[HTTP2_FIELDS_MAX])
{
    unsigned char *at = (unsigned char *)piece + 4, *end = at + little_endian((const unsigned char *)piece, 4);
    size_t count = 0;
    for (; at < end; count++) {
        nghttp2_nv *field = &fields[count];
        field->namelen = little_endian(at, 2);
        field->valuelen = little_endian(at + 2, 2);
        field->name = at + 4;
        field->value = field->name + field->namelen;
        field->flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
        at = field->value + field->valuelen;
    }
    return count;
}

size_t http2_head_bytes(const char *piece, size_t count)
{
    const unsigned char *at = (const unsigned char *)piece;
    size_t fields = 0, left = count < 4 ? 0 : little_endian(at, 4), whole = 4 + left;
    if (left == 0 || whole > count || whole > HTTP2_HEAD_BYTES_MAX)
        return 0;
    for (at += 4; left >= 4 && fields < HTTP2_FIELDS_MAX; fields++) {
        size_t field = 4 + little_endian(at, 2) + little_endian(at + 2, 2);
        if (field > left)
            return 0;
        at += field;
        left -= field;
    }
    return left == 0 ? whole : 0;
}

/* Add pieces to the body, without their first `skipped` bytes. */
static void add_body(struct stream *s, const struct iovec *pieces, size_t count, size_t skipped)
{
    if (s->left_pieces > 0)
        memmove(s->pieces, s->left, s->left_pieces * sizeof *s->left);
    s->left = s->pieces;
    for (size_t i = 0; i < count; i++) {
        struct iovec piece = pieces[i];
        if (i == 0)
            piece = (struct iovec){(char *)piece.iov_base + skipped, piece.iov_len - skipped};
        s->left_bytes += piece.iov_len;
        s->body_bytes += piece.iov_len;
        if (piece.iov_len > 0)
            s->left[s->left_pieces++] = piece;
    }
}

uint32_t http2_submit(struct http2 *h, const struct iovec *pieces, size_t count, bool goes_on)
{
    nghttp2_nv fields[HTTP2_FIELDS_MAX];
    const char *first = pieces[0].iov_base;
    size_t head_bytes = 4 + little_endian((const unsigned char *)first, 4);
    uint32_t slot = h->free_slots[--h->free_count];
    struct stream *s = &h->streams[slot];
    nghttp2_data_provider2 body = {.source.ptr = s, .read_callback = read_body};
    s->left_pieces = 0;
    s->left_bytes = s->body_bytes = 0;
    s->goes_on = goes_on;
    add_body(s, pieces, count, head_bytes);
    s->blocked_ns = s->waited_ns = 0;
    s->end_byte = UINT64_MAX;
    s->is_reset = false;
    h->unsent++;
    int32_t id = nghttp2_submit_request2(h->session, NULL, fields, read_fields(first, fields), &body, s);
    s->id = id;
    if (id < 0) {
        set_error(h, nghttp2_strerror(id));
        end(h, s, HTTP2_REFUSED, NGHTTP2_REFUSED_STREAM);
    }
    if (id > LAST_STREAM_ID)
        h->is_last = true;
    return slot;
}

void http2_append(struct http2 *h, uint32_t slot, const struct iovec *pieces, size_t count)
{
    struct stream *s = &h->streams[slot];
    bool waits = s->left_bytes == 0;
    add_body(s, pieces, count, 0);
    h->unsent += waits;
    if (waits)
        nghttp2_session_resume_data(h->session, s->id); /* refused before the stream began, which is as well */
}

struct http2_progress http2_progress_of(const struct http2 *h, uint32_t slot)
{
    const struct stream *s = &h->streams[slot];
    return (struct http2_progress){
        .body_bytes = s->body_bytes,
        .listed_bytes = s->body_bytes - s->left_bytes,
        .waited_ns = s->waited_ns + (s->blocked_ns ? monotonic_ns() - s->blocked_ns : 0),
    };
}

int64_t http2_cancel(struct http2 *h, uint32_t slot)
{
    struct stream *s = &h->streams[slot];
    nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
    unblock(s);
    h->unsent -= s->left_bytes > 0;
    s->left_bytes = 0;
    s->id = 0;
    h->free_slots[h->free_count++] = slot;
    return s->waited_ns;
}

bool http2_probe(struct http2 *h, int64_t now_ns, int64_t patience_ns)
{
    if (h->asked_ns)
        return now_ns - h->asked_ns < patience_ns;
    h->asked_ns = now_ns;
    nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL);
    return true;
}

bool http2_has_end(const struct http2 *h)
{
    return h->end_count > 0;
}

bool http2_next_end(struct http2 *h, struct http2_end *end)
{
    if (h->end_count == 0)
        return false;
    *end = h->ends[h->first_end];
    h->first_end = (h->first_end + 1) % h->slots;
    h->end_count--;
    h->free_slots[h->free_count++] = end->slot;
    return true;
}

const char *http2_code_name(uint32_t code)
{
    return nghttp2_http2_strerror(code);
}
