#include "tokenstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "httphead.h"
#include "figures.h"
#include "kind.h"
#include "tokenevent.h"

#define ROOM_BYTES (64 * 1024)
#define EVENT_BYTES_MAX (16 << 20)
#define EVENT_BYTES_USUAL 512
#define GAPS_MIN 256
#define REFUSAL_BYTES_MAX 4096 /* of the body of a refusal */
#define SHOWN_EVENT_BYTES 60
#define SHOWN_REFUSAL_BYTES 160
#define VALUE_BYTES 64
#define CACHE_LINE_BYTES 64
#define DONE "[DONE]"
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

/* What the readers of a thread share: each judges all that it received before another receives. */
struct stream_shared {
    char room[ROOM_BYTES];
    char json_pool[TOKENEVENT_POOL_BYTES];
};

/* Bytes that are kept from one receive to the next. */
struct kept {
    char *bytes;
    size_t count;
    size_t room;
};

struct stream_reader {
    /* First what each event needs, in a few lines of the cache. */
    struct http_head head;
    struct stream_shared *shared;
    size_t unjudged;
    const int64_t *waited_ns; /* of the connection */
    int64_t came_ns;   /* when the last bytes came */
    bool filled_up;    /* the last receive filled the room */
    bool is_stamped;   /* the kernel says when its bytes came */
    bool counts_read;  /* no event of it was seen yet */
    bool is_stream;    /* by its head */
    bool has_data;     /* of an event that is not whole yet */
    bool is_first_line;
    bool is_error;     /* the type of the event is */
    bool is_done;      /* [DONE] came */
    bool is_finished;  /* a finish_reason came */
    unsigned flags;    /* of the event that is read, enum event_flags */
    const char *whole_data; /* the only line of data so far, if it lies in what is read; NULL: it is in `data` */
    size_t whole_data_bytes;
    struct kept line; /* the part of a line that came */
    struct kept data; /* of an event that is not whole yet */
    struct token_marks marks;
    int64_t *gaps_ns;
    size_t gaps_room;
    size_t piece_count;
    struct iovec *pieces; /* of the request */
    _Atomic uint64_t *chunks_so_far; /* NULL: nobody counts them */
    struct event_log *log; /* NULL: none */
    uint16_t local_port;
    uint32_t request; /* its number on this connection */
    uint64_t listed_bytes; /* of all requests of the connection */
    char content_type[VALUE_BYTES];
    char retry_after[VALUE_BYTES];
    struct kept refusal;
    struct replycheck fault; /* what is wrong with an event; kind FAILURE_NONE: nothing */
};

/* Keep more bytes; return false, and keep none of them, if there are more than `most` or there is no memory. */
static bool keep(struct kept *k, const char *at, size_t bytes, size_t most)
{
    size_t needed = k->count + bytes;
    if (needed > most)
        return false;
    if (needed > k->room) {
        char *more = realloc(k->bytes, 2 * needed);
        if (more == NULL)
            return false;
        k->bytes = more;
        k->room = 2 * needed;
    }
    if (bytes > 0)
        memcpy(k->bytes + k->count, at, bytes);
    k->count = needed;
    return true;
}

/* ---- Events ---- */

/* Make room for one gap more. Return false without memory. */
static bool make_gap_room(struct stream_reader *r)
{
    int64_t *more = realloc(r->gaps_ns, 2 * r->gaps_room * sizeof *more);
    if (more == NULL) {
        replycheck_fail(&r->fault, FAILURE_PROTOCOL, "out of memory after %llu chunks",
                        (unsigned long long)r->marks.chunks);
        return false;
    }
    r->marks.gaps_ns = r->gaps_ns = more;
    r->gaps_room *= 2;
    return true;
}

static void note_content(struct stream_reader *r, bool is_answer)
{
    struct token_marks *m = &r->marks;
    if (m->chunks == 0) {
        m->first_content_ns = r->came_ns;
    } else {
        int64_t gap_ns = r->came_ns - m->last_content_ns;
        if (m->chunks - 1 == r->gaps_room && !make_gap_room(r))
            return;
        r->gaps_ns[m->chunks - 1] = gap_ns;
        m->longest_gap_ns = gap_ns > m->longest_gap_ns ? gap_ns : m->longest_gap_ns;
    }
    if (is_answer && m->first_answer_ns == 0)
        m->first_answer_ns = r->came_ns;
    m->last_content_ns = r->came_ns;
    m->chunks++;
    if (r->chunks_so_far)
        counter_bump(r->chunks_so_far);
}

static void read_json(struct stream_reader *r, const char *data, size_t bytes)
{
    struct token_event event;
    struct token_marks *m = &r->marks;
    if (!tokenevent_read(&event, data, bytes, r->is_error, r->shared->json_pool))
        replycheck_fail(&r->fault, FAILURE_WRONG_REPLY, "an event is not a JSON object: %.*s",
                        (int)(bytes < SHOWN_EVENT_BYTES ? bytes : SHOWN_EVENT_BYTES), data);
    if (event.is_error)
        replycheck_fail(&r->fault, FAILURE_ERROR_EVENT, "after %llu chunks: %.200s", (unsigned long long)m->chunks,
                        event.words[0] ? event.words : "without words");
    if (event.flags & (EVENT_ANSWER | EVENT_REASONING))
        note_content(r, event.flags & EVENT_ANSWER);
    if (event.output_tokens != TOKENS_UNKNOWN)
        m->output_tokens = event.output_tokens;
    if (event.input_tokens != TOKENS_UNKNOWN)
        m->input_tokens = event.input_tokens;
    r->flags = event.flags;
}

static void log_event(struct stream_reader *r)
{
    const struct event_log_entry entry = {
        .port = r->local_port,
        .request = r->request,
        .flags = (uint16_t)(r->flags ? r->flags : EVENT_NOTHING),
        .came_ns = r->came_ns,
    };
    event_log_add(r->log, &entry);
}

/* Read an event's data. */
static void read_event(struct stream_reader *r, const char *data, size_t bytes)
{
    struct token_marks *m = &r->marks;
    m->events++;
    m->reads += r->counts_read;
    m->stamped_reads += r->counts_read && r->is_stamped;
    r->counts_read = false;
    if (m->first_event_ns == 0)
        m->first_event_ns = r->came_ns;
    if (bytes == strlen(DONE) && memcmp(data, DONE, bytes) == 0) {
        r->is_done = true;
        r->flags = EVENT_DONE;
    } else {
        read_json(r, data, bytes);
    }
    r->is_finished |= (r->flags & EVENT_FINISH) != 0;
    if (m->finished_ns == 0 && r->flags & (EVENT_FINISH | EVENT_DONE))
        m->finished_ns = r->came_ns;
    if (r->log)
        log_event(r);
}

/* Keep data of an event; a line is more than the first. */
static void keep_data(struct stream_reader *r, const char *at, size_t bytes, bool is_line)
{
    if ((is_line && !keep(&r->data, "\n", 1, EVENT_BYTES_MAX)) || !keep(&r->data, at, bytes, EVENT_BYTES_MAX))
        replycheck_fail(&r->fault, FAILURE_PROTOCOL, "an event of over %d bytes", EVENT_BYTES_MAX);
}

/* What is read ends before the event does: keep its data. */
static void keep_whole_data(struct stream_reader *r)
{
    if (r->whole_data)
        keep_data(r, r->whole_data, r->whole_data_bytes, false);
    r->whole_data = NULL;
}

/* `in_place`: the data stays where it is until what is read ends. */
static void read_data(struct stream_reader *r, const char *at, size_t bytes, bool in_place)
{
    keep_whole_data(r);
    if (in_place && !r->has_data) {
        r->whole_data = at;
        r->whole_data_bytes = bytes;
    } else {
        keep_data(r, at, bytes, r->has_data);
    }
    r->has_data = true;
}

/* The empty line behind an event, or the end of the reply. An event whose data is empty is none, as the standard of
 * server-sent events says. */
static void end_event(struct stream_reader *r)
{
    if (r->whole_data_bytes > 0 && r->whole_data)
        read_event(r, r->whole_data, r->whole_data_bytes);
    else if (r->data.count > 0)
        read_event(r, r->data.bytes, r->data.count);
    r->whole_data = NULL;
    r->has_data = r->is_error = false;
    r->data.count = 0;
}

/* Return what is behind a field's name and an optional space, or NULL if the line is another field or a comment. */
static const char *value_of(const char *line, const char *end, const char *name, size_t name_bytes)
{
    if ((size_t)(end - line) < name_bytes || memcmp(line, name, name_bytes) != 0)
        return NULL;
    const char *value = line + name_bytes;
    return value < end && *value == ' ' ? value + 1 : value;
}

static void read_line(struct stream_reader *r, const char *line, size_t bytes, bool in_place)
{
    const char *end = line + bytes, *value;
    if (r->is_first_line && bytes >= strlen(BYTE_ORDER_MARK) &&
        memcmp(line, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0)
        line += strlen(BYTE_ORDER_MARK);
    r->is_first_line = false;
    if (line < end && end[-1] == '\r')
        end--;
    if (line == end)
        end_event(r);
    else if ((value = value_of(line, end, "data:", 5)) != NULL)
        read_data(r, value, (size_t)(end - value), in_place);
    else if ((value = value_of(line, end, "event:", 6)) != NULL)
        r->is_error = end - value == 5 && memcmp(value, "error", 5) == 0;
}

static void keep_line(struct stream_reader *r, const char *at, size_t bytes)
{
    if (!keep(&r->line, at, bytes, EVENT_BYTES_MAX))
        replycheck_fail(&r->fault, FAILURE_PROTOCOL, "a line of over %d bytes", EVENT_BYTES_MAX);
}

static void read_events(struct stream_reader *r, const char *at, size_t bytes)
{
    const char *end = at + bytes, *newline;
    while ((newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        size_t count = (size_t)(newline - at);
        if (r->line.count > 0) {
            keep_line(r, at, count);
            read_line(r, r->line.bytes, r->line.count, false);
            r->line.count = 0;
        } else {
            read_line(r, at, count, true);
        }
        at = newline + 1;
    }
    if (at < end)
        keep_line(r, at, (size_t)(end - at));
    keep_whole_data(r);
}

/* ---- The reply ---- */

static void start_marks(struct stream_reader *r)
{
    replycheck_start(&r->fault, NULL);
    r->marks = (struct token_marks){
        .output_tokens = TOKENS_UNKNOWN, .input_tokens = TOKENS_UNKNOWN, .gaps_ns = r->gaps_ns};
}

static int on_message_begin(llhttp_t *parser)
{
    struct stream_reader *r = parser->data;
    http_head_start(&r->head);
    r->refusal.count = r->line.count = r->data.count = 0;
    r->content_type[0] = r->retry_after[0] = '\0';
    r->is_done = r->is_finished = r->has_data = r->is_error = false;
    r->is_first_line = true;
    r->whole_data = NULL;
    start_marks(r);
    return 0;
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct stream_reader *r = parser->data;
    if (HTTP_HEAD_IS(&r->head, "content-type"))
        http_head_copy(&r->head, r->content_type, sizeof r->content_type);
    else if (HTTP_HEAD_IS(&r->head, "retry-after"))
        http_head_copy(&r->head, r->retry_after, sizeof r->retry_after);
    http_head_next(&r->head);
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct stream_reader *r = parser->data;
    r->is_stream = llhttp_get_status_code(parser) == 200 && strncasecmp(r->content_type, "text/event-stream", 17) == 0;
    return 0;
}

/* Without memory it is not kept. */
static void keep_refusal(struct stream_reader *r, const char *at, size_t bytes)
{
    size_t left = REFUSAL_BYTES_MAX - r->refusal.count;
    keep(&r->refusal, at, bytes < left ? bytes : left, REFUSAL_BYTES_MAX);
}

static int on_body(llhttp_t *parser, const char *at, size_t bytes)
{
    struct stream_reader *r = parser->data;
    if (r->is_stream)
        read_events(r, at, bytes);
    else
        keep_refusal(r, at, bytes);
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct stream_reader *r = parser->data;
    if (llhttp_get_status_code(parser) < 200)
        return 0;
    end_event(r); /* some servers forget the empty line behind the last one */
    r->marks.ended_ns = r->came_ns;
    return http_head_end(parser);
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_message_begin,
    .on_status = http_head_count,
    .on_header_field = http_head_field,
    .on_header_value = http_head_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_chunk_extension_name = http_head_count,
    .on_chunk_extension_value = http_head_count,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- A connection ---- */

static const int64_t not_waited = -1;

static void *share(void)
{
    return malloc(sizeof(struct stream_shared));
}

static void close_reader(void *of)
{
    struct stream_reader *r = of;
    free(r->refusal.bytes);
    free(r->line.bytes);
    free(r->data.bytes);
    free(r->gaps_ns);
    free(r->pieces);
    free(r);
}

static void *open_reader(struct replycheck *check, const struct reader_size *size)
{
    struct stream_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->shared = size->shared;
    r->waited_ns = size->waited_ns ? size->waited_ns : &not_waited;
    r->log = size->log;
    r->chunks_so_far = size->chunks;
    r->local_port = size->local_port;
    r->request = UINT32_MAX; /* the first one makes it 0 */
    r->gaps_room = GAPS_MIN;
    r->gaps_ns = malloc(r->gaps_room * sizeof *r->gaps_ns);
    r->pieces = calloc(size->pieces, sizeof *r->pieces);
    r->line.bytes = malloc(EVENT_BYTES_USUAL);
    r->data.bytes = malloc(EVENT_BYTES_USUAL);
    r->line.room = r->data.room = EVENT_BYTES_USUAL;
    if (r->gaps_ns == NULL || r->pieces == NULL || r->line.bytes == NULL || r->data.bytes == NULL) {
        close_reader(r);
        return NULL;
    }
    start_marks(r);
    http_head_init(&r->head, check, &settings);
    return r;
}

/* What each event needs comes from memory while the kernel hands over its bytes: of a thousand streams nothing is left in
 * the cache since the last one. */
static void prefetch(const struct stream_reader *r)
{
    for (size_t at = 0; at < offsetof(struct stream_reader, content_type); at += CACHE_LINE_BYTES)
        __builtin_prefetch((const char *)r + at, 1);
}

static char *room(void *of, size_t *bytes)
{
    struct stream_reader *r = of;
    prefetch(r);
    *bytes = ROOM_BYTES;
    return r->shared->room;
}

/* The clock behind the stamps may be set; then they say nothing. */
static void came(void *of, size_t bytes)
{
    struct stream_reader *r = of;
    int64_t now_ns = monotonic_ns();
    r->is_stamped = *r->waited_ns >= 0 && now_ns - *r->waited_ns >= r->came_ns;
    r->came_ns = r->is_stamped ? now_ns - *r->waited_ns : now_ns;
    r->counts_read = true;
    r->unjudged = bytes;
    r->filled_up = bytes == ROOM_BYTES;
}

static void judge_refusal(struct stream_reader *r, int status)
{
    enum failure_kind kind = failure_of_http(status);
    size_t shown = r->refusal.count < SHOWN_REFUSAL_BYTES ? r->refusal.count : SHOWN_REFUSAL_BYTES;
    const char *wait = r->retry_after[0] ? "; Retry-After: " : "";
    errstr_t words = "";
    tokenevent_error_words(r->refusal.bytes, r->refusal.count, words);
    if (words[0])
        replycheck_fail(r->head.check, kind, "HTTP %d: %.160s%s%s", status, words, wait, r->retry_after);
    else
        replycheck_fail(r->head.check, kind, "HTTP %d: %.*s%s%s", status, (int)shown,
                        r->refusal.bytes ? r->refusal.bytes : "", wait, r->retry_after);
}

/* Return what the end of the stream lacks, or NULL. */
static const char *lacking(const struct stream_reader *r, enum stream_end_rule rule)
{
    switch (rule) {
    case STREAM_END_USUAL: return r->is_done || r->is_finished ? NULL : "[DONE] or a finish_reason";
    case STREAM_END_DONE: return r->is_done ? NULL : "[DONE]";
    case STREAM_END_FINISH: return r->is_finished ? NULL : "a finish_reason";
    case STREAM_END_HTTP: break;
    }
    return NULL;
}

static void settle(void *of)
{
    struct stream_reader *r = of;
    const struct token_plan *plan = &r->head.check->expected->tokens;
    const char *lacks = lacking(r, plan->end);
    int status = llhttp_get_status_code(&r->head.parser);
    uint64_t tokens = token_marks_tokens(&r->marks);
    if (status != 200)
        judge_refusal(r, status);
    else if (!r->is_stream)
        replycheck_fail(r->head.check, FAILURE_WRONG_REPLY, "the reply is %s, not text/event-stream",
                        r->content_type[0] ? r->content_type : "without a content-type");
    else if (r->fault.kind != FAILURE_NONE)
        replycheck_fail(r->head.check, r->fault.kind, "%s", r->fault.message);
    else if (lacks)
        replycheck_fail(r->head.check, FAILURE_STREAM_CUT, "the stream ended after %llu chunks, without %s",
                        (unsigned long long)r->marks.chunks, lacks);
    else if (tokens < plan->min_tokens)
        replycheck_fail(r->head.check, FAILURE_TOO_FEW_TOKENS, "%llu tokens, of at least %llu",
                        (unsigned long long)tokens, (unsigned long long)plan->min_tokens);
    else if (r->marks.chunks == 0)
        replycheck_fail(r->head.check, FAILURE_WRONG_REPLY, "a stream without content");
    r->head.check->first_bytes = 0;
}

void tokenstream_judge_times(struct replycheck *check, const struct token_plan *plan, const struct token_marks *marks,
                             int64_t started_ns, int64_t until_ns)
{
    int64_t end_ns = marks->finished_ns ? marks->finished_ns : until_ns;
    int64_t first_ns = (marks->chunks ? marks->first_content_ns : end_ns) - started_ns;
    int64_t last_ns = marks->chunks ? end_ns - marks->last_content_ns : 0;
    int64_t pause_ns = last_ns > marks->longest_gap_ns ? last_ns : marks->longest_gap_ns;
    if (plan->first_token_timeout_ns && first_ns > plan->first_token_timeout_ns)
        replycheck_fail(check, FAILURE_FIRST_TOKEN_TIMEOUT, "no token within %lld ms",
                        (long long)(plan->first_token_timeout_ns / NS_PER_MS));
    else if (plan->token_timeout_ns && pause_ns > plan->token_timeout_ns)
        replycheck_fail(check, FAILURE_TOKEN_TIMEOUT, "no token for %lld ms among %llu chunks",
                        (long long)(plan->token_timeout_ns / NS_PER_MS), (unsigned long long)marks->chunks);
}

/* Each connection has one request, so that nothing may follow its reply. */
static enum io_status judge(void *of)
{
    struct stream_reader *r = of;
    const char *from = r->shared->room, *end = from + r->unjudged;
    llhttp_errno_t error = llhttp_execute(&r->head.parser, from, r->unjudged);
    r->unjudged = 0;
    if (error == HPE_PAUSED && llhttp_get_error_pos(&r->head.parser) < end) {
        replycheck_fail(&r->fault, FAILURE_PROTOCOL, "bytes behind the end of the reply");
        r->head.is_last = true;
    }
    return http_head_status(&r->head, error);
}

/* A reply without a length ends with its connection. */
static enum io_status ended(void *of)
{
    struct stream_reader *r = of;
    r->came_ns = monotonic_ns(); /* the end has no stamp */
    llhttp_errno_t error = llhttp_finish(&r->head.parser);
    r->head.is_last = true;
    if (r->head.is_whole)
        return http_head_status(&r->head, error);
    if (r->marks.events > 0)
        replycheck_fail(r->head.check, FAILURE_STREAM_CUT, "the server closed the connection after %llu chunks",
                        (unsigned long long)r->marks.chunks);
    else
        replycheck_fail(r->head.check, FAILURE_CONNECTION_LOST, "the server closed the connection");
    return IO_FAILED;
}

static bool has_unjudged(const void *of)
{
    const struct stream_reader *r = of;
    return r->unjudged > 0;
}

/* ---- Requests ---- */

static uint32_t submit(void *of, const struct request_kind *kind, const struct iovec *pieces, size_t count)
{
    struct stream_reader *r = of;
    (void)kind;
    r->request++;
    r->piece_count = 0;
    start_marks(r);
    for (size_t i = 0; i < count; i++)
        if (pieces[i].iov_len > 0) {
            r->pieces[r->piece_count++] = pieces[i];
            r->listed_bytes += pieces[i].iov_len;
        }
    return 0;
}

static void take(void *of, struct iovec **pieces, size_t *count)
{
    struct stream_reader *r = of;
    *pieces = r->pieces;
    *count = r->piece_count;
    r->piece_count = 0;
}

static void stream_ended(const void *of, struct stream_end *end)
{
    const struct stream_reader *r = of;
    *end = (struct stream_end){.end_byte = r->listed_bytes};
}

static const struct token_marks *marks(const void *of)
{
    const struct stream_reader *r = of;
    return &r->marks;
}

/* The rest of the reply would come: the connection is of no more use. */
static int64_t cancel(void *of, uint32_t slot)
{
    struct stream_reader *r = of;
    (void)slot;
    r->head.is_last = true;
    return 0;
}

/* HTTP/1.1 has no such question; a connection whose request was cancelled is closed. */
static bool probe(void *of, int64_t now_ns, int64_t patience_ns)
{
    (void)of;
    (void)now_ns;
    (void)patience_ns;
    return true;
}

static bool may_have_more(const void *of)
{
    const struct stream_reader *r = of;
    return r->filled_up;
}

static const struct stream_protocol streams = {
    .submit = submit,
    .take = take,
    .ended = stream_ended,
    .cancel = cancel,
    .probe = probe,
    .may_have_more = may_have_more,
    .marks = marks,
};

const struct protocol tokenstream_protocol = {
    .peer_may_close = true,
    .share = share,
    .open = open_reader,
    .room = room,
    .came = came,
    .stamps_all = true,
    .judge = judge,
    .ended = ended,
    .has_unjudged = has_unjudged,
    .settle = settle,
    .is_last = http_head_is_last,
    .close = close_reader,
    .streams = &streams,
};
