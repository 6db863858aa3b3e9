#include "tokenstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <llhttp.h>
#include <yyjson.h>

#include "clock.h"
#include "kind.h"

#define ROOM_BYTES (64 * 1024)
#define LINE_BYTES_MIN (16 * 1024)
#define LINE_BYTES_MAX (16 << 20)
#define GAPS_MIN 4096
#define JSON_POOL_BYTES (64 * 1024)
#define HEADERS_BYTES_MAX (64 * 1024)
#define REFUSAL_BYTES 4096 /* of the body of a refusal */
#define VALUE_BYTES 64
#define DONE "[DONE]"

struct stream_reader {
    llhttp_t parser; /* its data is the reader */
    struct replycheck *check;
    char *room; /* what is received */
    size_t filled;
    size_t judged;
    bool filled_up; /* the last receive filled the room */
    int64_t came_ns; /* when that was */
    bool counts_read; /* no event of that receive was seen yet */
    size_t headers_bytes;
    char field[VALUE_BYTES];
    size_t field_bytes;
    char value[VALUE_BYTES];
    size_t value_bytes;
    char content_type[VALUE_BYTES];
    char retry_after[VALUE_BYTES];
    char *line; /* the line of an event that is not whole yet */
    size_t line_bytes;
    size_t line_room;
    char refusal[REFUSAL_BYTES];
    size_t refusal_bytes;
    void *json_pool;
    struct token_marks marks;
    int64_t *gaps_ns;
    size_t gaps_room;
    bool is_done;     /* [DONE] came */
    bool is_finished; /* a finish_reason came */
    bool is_whole;    /* the reply */
    bool is_last;
    struct iovec *pieces; /* of the request */
    size_t piece_count;
    uint64_t listed_bytes; /* of all requests of the connection */
    struct event_log *log; /* NULL: none */
    uint16_t local_port;
    uint32_t request; /* its number on this connection */
    unsigned flags;   /* of the event that is read, enum event_flags */
    struct replycheck fault; /* what is wrong with an event; kind FAILURE_NONE: nothing */
};

/* ---- Events ---- */

static const char *text_of(yyjson_val *object, const char *name)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, name));
    return text && *text ? text : NULL;
}

static void note_content(struct stream_reader *r, bool is_answer)
{
    struct token_marks *m = &r->marks;
    if (m->chunks > 0 && m->chunks - 1 == r->gaps_room) {
        int64_t *more = realloc(r->gaps_ns, 2 * r->gaps_room * sizeof *more);
        if (more == NULL) {
            replycheck_fail(&r->fault, FAILURE_PROTOCOL, "out of memory after %llu chunks",
                            (unsigned long long)m->chunks);
            return;
        }
        m->gaps_ns = r->gaps_ns = more;
        r->gaps_room *= 2;
    }
    if (m->chunks > 0)
        r->gaps_ns[m->chunks - 1] = r->came_ns - m->last_content_ns;
    else
        m->first_content_ns = r->came_ns;
    if (is_answer && m->first_answer_ns == 0)
        m->first_answer_ns = r->came_ns;
    m->last_content_ns = r->came_ns;
    m->chunks++;
}

static void read_choice(struct stream_reader *r, yyjson_val *choice)
{
    yyjson_val *delta = yyjson_obj_get(choice, "delta");
    bool answers = text_of(delta, "content") || text_of(choice, "text") ||
                   yyjson_arr_size(yyjson_obj_get(delta, "tool_calls")) > 0;
    bool reasons = text_of(delta, "reasoning_content") || text_of(delta, "reasoning");
    bool finishes = yyjson_is_str(yyjson_obj_get(choice, "finish_reason"));
    if (answers || reasons)
        note_content(r, answers);
    r->is_finished |= finishes;
    r->flags |= (answers ? EVENT_ANSWER : 0) | (reasons ? EVENT_REASONING : 0) | (finishes ? EVENT_FINISH : 0);
}

static void read_error(struct stream_reader *r, yyjson_val *error)
{
    const char *words = yyjson_is_str(error) ? yyjson_get_str(error) : text_of(error, "message");
    replycheck_fail(&r->fault, FAILURE_ERROR_EVENT, "after %llu chunks: %.200s", (unsigned long long)r->marks.chunks,
                    words ? words : "without words");
}

static void read_usage(struct stream_reader *r, yyjson_val *usage)
{
    r->flags |= yyjson_is_obj(usage) ? EVENT_USAGE : 0;
    yyjson_val *output = yyjson_obj_get(usage, "completion_tokens"), *input = yyjson_obj_get(usage, "prompt_tokens");
    if (yyjson_is_uint(output))
        r->marks.output_tokens = yyjson_get_sint(output);
    if (yyjson_is_uint(input))
        r->marks.input_tokens = yyjson_get_sint(input);
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

static void read_json(struct stream_reader *r, const char *data, size_t bytes)
{
    yyjson_alc pool;
    yyjson_alc_pool_init(&pool, r->json_pool, JSON_POOL_BYTES);
    yyjson_doc *document = yyjson_read_opts((char *)data, bytes, 0, bytes < JSON_POOL_BYTES / 16 ? &pool : NULL, NULL);
    yyjson_val *root = yyjson_doc_get_root(document), *error = yyjson_obj_get(root, "error");
    if (!yyjson_is_obj(root))
        replycheck_fail(&r->fault, FAILURE_WRONG_REPLY, "an event is not a JSON object: %.*s", (int)(bytes < 60 ? bytes : 60),
                        data);
    if (error && !yyjson_is_null(error))
        read_error(r, error);
    read_choice(r, yyjson_arr_get_first(yyjson_obj_get(root, "choices")));
    read_usage(r, yyjson_obj_get(root, "usage"));
    yyjson_doc_free(document);
}

/* Read an event's data. */
static void read_event(struct stream_reader *r, const char *data, size_t bytes)
{
    r->marks.events++;
    r->marks.reads += r->counts_read;
    r->counts_read = false;
    r->flags = 0;
    if (r->marks.first_event_ns == 0)
        r->marks.first_event_ns = r->came_ns;
    if (bytes == strlen(DONE) && memcmp(data, DONE, bytes) == 0) {
        r->is_done = true;
        r->flags = EVENT_DONE;
    } else {
        read_json(r, data, bytes);
    }
    if (r->log)
        log_event(r);
}

/* A line is whole: data, a comment, another field, or the empty line behind an event. Each line of data is an event:
 * no server of this API spreads its JSON over several. */
static void read_line(struct stream_reader *r, const char *line, size_t bytes)
{
    if (bytes > 0 && line[bytes - 1] == '\r')
        bytes--;
    if (bytes < 5 || memcmp(line, "data:", 5) != 0)
        return;
    size_t from = bytes > 5 && line[5] == ' ' ? 6 : 5;
    read_event(r, line + from, bytes - from);
}

/* Keep a part of a line. */
static void keep_line(struct stream_reader *r, const char *at, size_t bytes)
{
    size_t needed = r->line_bytes + bytes;
    if (needed > r->line_room && needed <= LINE_BYTES_MAX) {
        char *more = realloc(r->line, 2 * needed);
        if (more != NULL) {
            r->line = more;
            r->line_room = 2 * needed;
        }
    }
    if (needed > r->line_room) {
        replycheck_fail(&r->fault, FAILURE_PROTOCOL, "an event of over %zu bytes", r->line_room);
        return;
    }
    memcpy(r->line + r->line_bytes, at, bytes);
    r->line_bytes = needed;
}

static void read_events(struct stream_reader *r, const char *at, size_t bytes)
{
    const char *end = at + bytes, *newline;
    while ((newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        size_t count = (size_t)(newline - at);
        if (r->line_bytes > 0) {
            keep_line(r, at, count);
            read_line(r, r->line, r->line_bytes);
            r->line_bytes = 0;
        } else {
            read_line(r, at, count);
        }
        at = newline + 1;
    }
    if (at < end)
        keep_line(r, at, (size_t)(end - at));
}

/* ---- The reply ---- */

static void append(char *text, size_t room, size_t *filled, const char *more, size_t bytes)
{
    size_t taken = bytes < room - *filled ? bytes : room - *filled;
    memcpy(text + *filled, more, taken);
    *filled += taken;
}

static int on_message_begin(llhttp_t *parser)
{
    struct stream_reader *r = parser->data;
    r->headers_bytes = r->field_bytes = r->value_bytes = r->line_bytes = r->refusal_bytes = 0;
    r->content_type[0] = r->retry_after[0] = '\0';
    r->is_done = r->is_finished = false;
    replycheck_start(&r->fault, NULL);
    r->marks = (struct token_marks){
        .output_tokens = TOKENS_UNKNOWN, .input_tokens = TOKENS_UNKNOWN, .gaps_ns = r->gaps_ns};
    return 0;
}

static int count_header(llhttp_t *parser, const char *at, size_t bytes)
{
    struct stream_reader *r = parser->data;
    (void)at;
    r->headers_bytes += bytes;
    if (r->headers_bytes <= HEADERS_BYTES_MAX)
        return 0;
    llhttp_set_error_reason(parser, "headers of more than 64 KiB");
    return HPE_USER;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t bytes)
{
    struct stream_reader *r = parser->data;
    append(r->field, sizeof r->field, &r->field_bytes, at, bytes);
    return count_header(parser, at, bytes);
}

static int on_header_value(llhttp_t *parser, const char *at, size_t bytes)
{
    struct stream_reader *r = parser->data;
    append(r->value, sizeof r->value, &r->value_bytes, at, bytes);
    return count_header(parser, at, bytes);
}

static void keep_if(const struct stream_reader *r, const char *name, char to[VALUE_BYTES])
{
    if (r->field_bytes == strlen(name) && strncasecmp(r->field, name, r->field_bytes) == 0)
        snprintf(to, VALUE_BYTES, "%.*s", (int)r->value_bytes, r->value);
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct stream_reader *r = parser->data;
    keep_if(r, "content-type", r->content_type);
    keep_if(r, "retry-after", r->retry_after);
    r->field_bytes = r->value_bytes = 0;
    return 0;
}

static bool is_stream(struct stream_reader *r)
{
    return llhttp_get_status_code(&r->parser) == 200 && strncasecmp(r->content_type, "text/event-stream", 17) == 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t bytes)
{
    struct stream_reader *r = parser->data;
    if (is_stream(r))
        read_events(r, at, bytes);
    else
        append(r->refusal, sizeof r->refusal, &r->refusal_bytes, at, bytes);
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct stream_reader *r = parser->data;
    if (llhttp_get_status_code(parser) < 200)
        return 0;
    r->is_whole = true;
    r->is_last |= !llhttp_should_keep_alive(parser);
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_message_begin,
    .on_status = count_header,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_chunk_extension_name = count_header,
    .on_chunk_extension_value = count_header,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- A connection ---- */

static void close_reader(void *of)
{
    struct stream_reader *r = of;
    free(r->room);
    free(r->line);
    free(r->json_pool);
    free(r->gaps_ns);
    free(r->pieces);
    free(r);
}

static void *open_reader(struct replycheck *check, const struct reader_size *size)
{
    struct stream_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->check = check;
    r->room = malloc(ROOM_BYTES);
    r->line_room = LINE_BYTES_MIN;
    r->line = malloc(r->line_room);
    r->json_pool = malloc(JSON_POOL_BYTES);
    r->gaps_room = GAPS_MIN;
    r->gaps_ns = malloc(r->gaps_room * sizeof *r->gaps_ns);
    r->pieces = calloc(size->pieces, sizeof *r->pieces);
    r->log = size->log;
    r->local_port = size->local_port;
    r->request = UINT32_MAX; /* the first one makes it 0 */
    if (r->room == NULL || r->line == NULL || r->json_pool == NULL || r->gaps_ns == NULL || r->pieces == NULL) {
        close_reader(r);
        return NULL;
    }
    llhttp_init(&r->parser, HTTP_RESPONSE, &settings);
    r->parser.data = r;
    return r;
}

static char *room(void *of, size_t *bytes)
{
    struct stream_reader *r = of;
    if (r->judged > 0)
        memmove(r->room, r->room + r->judged, r->filled - r->judged);
    r->filled -= r->judged;
    r->judged = 0;
    *bytes = ROOM_BYTES - r->filled;
    return *bytes > 0 ? r->room + r->filled : NULL;
}

static void came(void *of, size_t bytes)
{
    struct stream_reader *r = of;
    r->came_ns = monotonic_ns();
    r->counts_read = true;
    r->filled += bytes;
    r->filled_up = r->filled == ROOM_BYTES;
}

/* Judge the reply, which has ended. */
static void judge_refusal(struct stream_reader *r, int status)
{
    enum failure_kind kind = failure_of_http(status);
    yyjson_doc *document = yyjson_read(r->refusal, r->refusal_bytes, 0);
    yyjson_val *root = yyjson_doc_get_root(document), *error = yyjson_obj_get(root, "error");
    const char *words = yyjson_is_str(error) ? yyjson_get_str(error) : text_of(error, "message");
    const char *wait = r->retry_after[0] ? "; Retry-After: " : "";
    if (words == NULL)
        words = text_of(root, "message");
    if (words)
        replycheck_fail(r->check, kind, "HTTP %d: %.160s%s%s", status, words, wait, r->retry_after);
    else
        replycheck_fail(r->check, kind, "HTTP %d: %.*s%s%s", status, (int)(r->refusal_bytes < 160 ? r->refusal_bytes : 160),
                        r->refusal, wait, r->retry_after);
    yyjson_doc_free(document);
}

static void settle(void *of)
{
    struct stream_reader *r = of;
    int status = llhttp_get_status_code(&r->parser);
    if (status != 200)
        judge_refusal(r, status);
    else if (!is_stream(r))
        replycheck_fail(r->check, FAILURE_WRONG_REPLY, "the reply is %s, not text/event-stream",
                        r->content_type[0] ? r->content_type : "without a content-type");
    else if (r->fault.kind != FAILURE_NONE)
        replycheck_fail(r->check, r->fault.kind, "%s", r->fault.message);
    else if (!r->is_done && !r->is_finished)
        replycheck_fail(r->check, FAILURE_STREAM_CUT, "the stream ended after %llu chunks, without [DONE] or a finish_reason",
                        (unsigned long long)r->marks.chunks);
    else if (r->marks.chunks == 0)
        replycheck_fail(r->check, FAILURE_WRONG_REPLY, "a stream without content");
    r->check->first_bytes = 0;
}

static enum io_status status_of(struct stream_reader *r, llhttp_errno_t error)
{
    if (r->is_whole) {
        r->is_whole = false;
        llhttp_resume(&r->parser);
        return IO_DONE;
    }
    if (error == HPE_OK)
        return IO_AGAIN;
    const char *reason = llhttp_get_error_reason(&r->parser);
    replycheck_fail(r->check, FAILURE_PROTOCOL, "not an HTTP reply: %s",
                    reason && *reason ? reason : llhttp_errno_name(error));
    return IO_FAILED;
}

static enum io_status judge(void *of)
{
    struct stream_reader *r = of;
    const char *from = r->room + r->judged;
    if (r->judged == r->filled)
        return IO_AGAIN;
    llhttp_errno_t error = llhttp_execute(&r->parser, from, r->filled - r->judged);
    r->judged = error == HPE_PAUSED ? (size_t)(llhttp_get_error_pos(&r->parser) - r->room) : r->filled;
    return status_of(r, error);
}

/* A reply without a length ends with its connection. */
static enum io_status ended(void *of)
{
    struct stream_reader *r = of;
    llhttp_errno_t error = llhttp_finish(&r->parser);
    r->is_last = true;
    if (r->is_whole)
        return status_of(r, error);
    if (r->marks.events > 0)
        replycheck_fail(r->check, FAILURE_STREAM_CUT, "the server closed the connection after %llu chunks",
                        (unsigned long long)r->marks.chunks);
    else
        replycheck_fail(r->check, FAILURE_CONNECTION_LOST, "the server closed the connection");
    return IO_FAILED;
}

static bool has_unjudged(const void *of)
{
    const struct stream_reader *r = of;
    return r->judged < r->filled;
}

static bool is_last(const void *of)
{
    const struct stream_reader *r = of;
    return r->is_last;
}

/* ---- Requests ---- */

static uint32_t submit(void *of, const struct request_kind *kind, const struct iovec *pieces, size_t count)
{
    struct stream_reader *r = of;
    (void)kind;
    r->request++;
    r->piece_count = 0;
    r->marks = (struct token_marks){.output_tokens = TOKENS_UNKNOWN, .input_tokens = TOKENS_UNKNOWN};
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
    *end = (struct stream_end){.end_byte = r->listed_bytes, .tokens = &r->marks};
}

/* The rest of the reply would come: the connection is of no more use. */
static int64_t cancel(void *of, uint32_t slot)
{
    struct stream_reader *r = of;
    (void)slot;
    r->is_last = true;
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
};

const struct protocol tokenstream_protocol = {
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
