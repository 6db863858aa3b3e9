#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <yyjson.h>

#include "httphead.h"
#include "jsonvalues.h"
#include "kind.h"
#include "stringdata.h"

#define LEAST_ROOM_BYTES 512
#define OUT_OF_LINE __attribute__((noinline, cold))
#define JSON_SPARE_BYTES 4096         /* beyond the trial's JSON: numbers and times may be longer */
#define BODY_SPARE_BYTES (1024 * 1024)
#define VALUE_BYTES 32
#define LENGTH_DIGITS_MAX 18

struct http_reader {
    struct http_head head;
    char *buffer;
    size_t capacity;
    size_t judged; /* so many bytes of the buffer are judged */
    size_t filled;
    bool has_binary;    /* the reply says how long its JSON is; the outputs follow it */
    bool length_is_wrong; /* this length is not a number, or is given twice */
    size_t json_length; /* as the reply says */
    char retry_after[VALUE_BYTES]; /* as the reply says, or empty */
    char encoding[VALUE_BYTES];    /* of the body, as the reply says; empty: none */
    char location[HTTP_VALUE_BYTES]; /* as the reply of any endpoint says, or empty */
    uint64_t body_bytes;
    char *json; /* the JSON of the body, as far as there is room */
    size_t json_bytes;
    size_t json_capacity;
    char *kept; /* the outputs of a reply that has strings in binary */
    size_t kept_bytes;
    size_t kept_capacity;
};

static const struct http_plan *plan_of(const struct http_reader *r)
{
    return &r->head.check->expected->http;
}

/* Return the most bytes that the outputs of a binary reply may have. */
static size_t output_bytes_max(const struct http_reader *r)
{
    return r->head.check->expected->output_bytes_max;
}

static int on_message_begin(llhttp_t *parser)
{
    struct http_reader *r = parser->data;
    http_head_start(&r->head);
    r->has_binary = false;
    r->length_is_wrong = false;
    r->json_length = 0;
    r->retry_after[0] = '\0';
    r->encoding[0] = '\0';
    r->body_bytes = 0;
    r->json_bytes = 0;
    r->kept_bytes = 0;
    return 0;
}

/* Accept only digits, and not more than a length has. */
static bool read_length(const char *text, size_t count, size_t *length)
{
    *length = 0;
    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *length = *length * 10 + (size_t)(text[i] - '0');
    }
    return count > 0 && count <= LENGTH_DIGITS_MAX;
}

/* Keep a header that explains a failure. */
static void note_header(struct http_reader *r)
{
    /* When a server that refuses wants the next request: in seconds, or as a date. */
    if (HTTP_HEAD_IS(&r->head, "retry-after"))
        http_head_copy(&r->head, r->retry_after, sizeof r->retry_after);
    else if (HTTP_HEAD_IS(&r->head, "content-encoding") &&
             !(r->head.value_bytes == 8 && strncasecmp(r->head.value, "identity", 8) == 0))
        http_head_copy(&r->head, r->encoding, sizeof r->encoding);
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct http_reader *r = parser->data;
    /* A header after the body comes too late to say where its parts begin. */
    if (HTTP_HEAD_IS(&r->head, "inference-header-content-length") && !(parser->flags & F_TRAILING)) {
        size_t length;
        bool is_length = read_length(r->head.value, r->head.value_bytes, &length);
        r->length_is_wrong |= !is_length || (r->has_binary && length != r->json_length);
        r->json_length = length;
        r->has_binary = true;
    }
    note_header(r);
    http_head_next(&r->head);
    return 0;
}

/* Return the most bytes of a body. One in another encoding than requested is an error message, and short. */
static uint64_t body_bytes_max(const struct http_reader *r)
{
    size_t json = plan_of(r)->json_bytes_max;
    return (r->has_binary ? output_bytes_max(r) : 0) + (json > r->json_capacity ? json : r->json_capacity) +
           BODY_SPARE_BYTES;
}

/* Make room for `bytes` more of a JSON reply, up to its limit. Without memory the room stays as it is. */
OUT_OF_LINE static void make_json_room(struct http_reader *r, size_t bytes)
{
    size_t needed = r->json_bytes + bytes;
    if (needed > plan_of(r)->json_bytes_max)
        return;
    char *json = realloc(r->json, 2 * needed);
    if (json == NULL)
        return;
    r->json = json;
    r->json_capacity = 2 * needed;
}

/* Keep the outputs from byte `place` on, up to their limit. Without memory nothing is kept. */
OUT_OF_LINE static void keep_outputs(struct http_reader *r, size_t place, const char *at, size_t bytes)
{
    size_t left = output_bytes_max(r) - r->kept_bytes, kept_bytes = bytes < left ? bytes : left;
    size_t needed = place + kept_bytes;
    if (place != r->kept_bytes)
        return;
    if (needed > r->kept_capacity) {
        char *kept = realloc(r->kept, 2 * needed);
        if (kept == NULL)
            return;
        r->kept = kept;
        r->kept_capacity = 2 * needed;
    }
    if (kept_bytes > 0)
        memcpy(r->kept + place, at, kept_bytes);
    r->kept_bytes = needed;
}

static int on_body(llhttp_t *parser, const char *at, size_t bytes)
{
    struct http_reader *r = parser->data;
    uint64_t before = r->body_bytes;
    r->body_bytes += bytes;
    if (r->body_bytes > body_bytes_max(r)) {
        llhttp_set_error_reason(parser, "a body far longer than the requested outputs");
        return HPE_USER;
    }
    size_t json = bytes; /* how many of these bytes are JSON */
    if (r->has_binary)
        json = before >= r->json_length ? 0 : r->json_length - (size_t)before;
    if (json > bytes)
        json = bytes;
    if (json > r->json_capacity - r->json_bytes)
        make_json_room(r, json);
    http_append(r->json, r->json_capacity, &r->json_bytes, at, json);
    if (json < bytes && r->head.check->output != NULL) {
        size_t place = (size_t)(before + json - r->json_length);
        http_append(r->head.check->output, output_bytes_max(r), &place, at + json, bytes - json);
    }
    if (json < bytes && plan_of(r)->outputs.has_strings)
        keep_outputs(r, (size_t)(before + json - r->json_length), at + json, bytes - json);
    return 0;
}

/* on_message_begin for any endpoint. */
static int on_any_begin(llhttp_t *parser)
{
    struct http_reader *r = parser->data;
    r->location[0] = '\0';
    return on_message_begin(parser);
}

/* on_header_value_complete for any endpoint. */
static int on_any_value_complete(llhttp_t *parser)
{
    struct http_reader *r = parser->data;
    if (HTTP_HEAD_IS(&r->head, "location"))
        http_head_copy(&r->head, r->location, sizeof r->location);
    note_header(r);
    http_head_next(&r->head);
    return 0;
}

/* on_body for any endpoint: only JSON is kept whole. */
static int on_any_body(llhttp_t *parser, const char *at, size_t bytes)
{
    struct http_reader *r = parser->data;
    const struct http_plan *plan = plan_of(r);
    r->body_bytes += bytes;
    if (r->body_bytes > plan->json_bytes_max) {
        llhttp_set_error_reason(parser, "a body that is too long");
        return HPE_USER;
    }
    if (plan->body_rule == HTTP_BODY_JSON && bytes > r->json_capacity - r->json_bytes)
        make_json_room(r, bytes);
    http_append(r->json, r->json_capacity, &r->json_bytes, at, bytes);
    return 0;
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_message_begin,
    .on_status = http_head_count,
    .on_header_field = http_head_field,
    .on_header_value = http_head_value,
    .on_header_value_complete = on_header_value_complete,
    .on_chunk_extension_name = http_head_count,
    .on_chunk_extension_value = http_head_count,
    .on_body = on_body,
    .on_message_complete = http_head_end,
};

static const llhttp_settings_t any_settings = {
    .on_message_begin = on_any_begin,
    .on_status = http_head_count,
    .on_header_field = http_head_field,
    .on_header_value = http_head_value,
    .on_header_value_complete = on_any_value_complete,
    .on_chunk_extension_name = http_head_count,
    .on_chunk_extension_value = http_head_count,
    .on_body = on_any_body,
    .on_message_complete = http_head_end,
};

static void close_reader(void *of)
{
    struct http_reader *r = of;
    free(r->buffer);
    free(r->json);
    free(r->kept);
    free(r);
}

static void *open_reader(struct replycheck *check, const struct reader_size *size)
{
    struct http_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->capacity = size->unjudged_bytes + LEAST_ROOM_BYTES;
    r->json_capacity = size->unjudged_bytes + JSON_SPARE_BYTES;
    r->buffer = malloc(r->capacity);
    r->json = malloc(r->json_capacity);
    if (r->buffer == NULL || r->json == NULL) {
        close_reader(r);
        return NULL;
    }
    http_head_init(&r->head, check, &settings);
    return r;
}

/* open_reader for any endpoint. */
static void *open_any_reader(struct replycheck *check, const struct reader_size *size)
{
    struct http_reader *r = open_reader(check, size);
    if (r != NULL)
        http_head_init(&r->head, check, &any_settings);
    return r;
}

/* Everything received is judged before more room is given, except what follows a reply. */
static char *room(void *of, size_t *bytes)
{
    struct http_reader *r = of;
    if (r->judged > 0) {
        memmove(r->buffer, r->buffer + r->judged, r->filled - r->judged);
        r->filled -= r->judged;
        r->judged = 0;
    }
    if (r->filled == r->capacity)
        return NULL;
    *bytes = r->capacity - r->filled;
    return r->buffer + r->filled;
}

static void came(void *of, size_t bytes)
{
    struct http_reader *r = of;
    r->filled += bytes;
}

static enum io_status judge(void *of)
{
    struct http_reader *r = of;
    const char *from = r->buffer + r->judged;
    llhttp_errno_t error = llhttp_execute(&r->head.parser, from, r->filled - r->judged);
    if (error == HPE_PAUSED)
        r->judged = (size_t)(llhttp_get_error_pos(&r->head.parser) - r->buffer);
    else
        r->judged = r->filled;
    return http_head_status(&r->head, error);
}

/* A reply without a length ends with its connection. */
static enum io_status ended(void *of)
{
    struct http_reader *r = of;
    llhttp_errno_t error = llhttp_finish(&r->head.parser);
    if (r->head.is_whole)
        return http_head_status(&r->head, error);
    replycheck_fail(r->head.check, FAILURE_CONNECTION_LOST, "the server closed the connection");
    return IO_FAILED;
}

static bool has_unjudged(const void *of)
{
    const struct http_reader *r = of;
    return r->judged < r->filled;
}

/* `output`: where to write the values, or NULL. */
static void judge_values(struct http_reader *r, yyjson_val *data, const struct oip_output *wanted,
                         size_t expected, char *output)
{
    int64_t count = jsonvalues_read(data, wanted->dtype, output, expected);
    if (count < 0)
        oip_wrong_value(r->head.check, wanted);
    else if ((size_t)count != expected)
        oip_wrong_count(r->head.check, wanted, (uint64_t)count, expected);
}

/* Read an output's size in binary from the reply; return whether it has one. */
static bool read_size(yyjson_val *found, uint64_t *bytes)
{
    yyjson_val *size = yyjson_obj_get(yyjson_obj_get(found, "parameters"), "binary_data_size");
    *bytes = yyjson_get_uint(size);
    return yyjson_is_uint(size);
}

static void judge_size(struct http_reader *r, yyjson_val *found, const struct oip_output *wanted,
                       size_t expected)
{
    uint64_t bytes;
    if (!read_size(found, &bytes) || bytes != expected)
        oip_wrong_size(r->head.check, wanted, bytes, expected);
}

/* Count the strings of an output that starts at byte `place`, and set where it ends. Return -1 if one is invalid or
 * reaches beyond that end. */
static int64_t count_strings(struct http_reader *r, yyjson_val *found, size_t place, size_t *end)
{
    size_t room = output_bytes_max(r) - place, text_bytes;
    char *output = r->head.check->output ? r->head.check->output + place : NULL;
    uint64_t bytes;
    *end = SIZE_MAX;
    if (!r->has_binary) {
        int64_t count = jsonvalues_read_strings(yyjson_obj_get(found, "data"), output, room, &text_bytes);
        *end = text_bytes <= room ? place + text_bytes : SIZE_MAX;
        return count;
    }
    if (!read_size(found, &bytes) || bytes > room)
        return 0;
    *end = place + bytes;
    return *end <= r->kept_bytes ? stringdata_count(r->kept + place, bytes) : -1;
}

/* judge_output for strings; there must be `expected` of them. */
static size_t judge_strings(struct http_reader *r, yyjson_val *found, const struct oip_output *wanted,
                            size_t expected, size_t place)
{
    size_t end, came = r->has_binary ? (size_t)(r->body_bytes - r->json_length) : 0;
    int64_t count = count_strings(r, found, place, &end);
    if (end == SIZE_MAX)
        replycheck_fail(r->head.check, FAILURE_WRONG_SIZE, "output %.100s has no size, or over %zu bytes",
                        wanted->name, output_bytes_max(r) - place);
    else if (r->has_binary && end > came)
        replycheck_fail(r->head.check, FAILURE_WRONG_SIZE, "output %.100s has %zu bytes, of which %zu came",
                        wanted->name, end - place, came > place ? came - place : 0);
    else if (count < 0 && r->has_binary)
        oip_broken_string(r->head.check, wanted);
    else if (count < 0)
        oip_wrong_value(r->head.check, wanted);
    else if ((size_t)count != expected)
        oip_wrong_count(r->head.check, wanted, (uint64_t)count, expected);
    else
        return end;
    return place; /* ignored after a failure */
}

/* Read the shape of an output. What the reply may have in its place is written to `odd_shape`, which the caller
 * frees. */
static void read_shape(yyjson_val *shape, struct oip_found *found, char **odd_shape)
{
    size_t index, most;
    yyjson_val *length;
    bool is_odd = !yyjson_is_arr(shape);
    found->dimensions = yyjson_arr_size(shape);
    yyjson_arr_foreach(shape, index, most, length) {
        is_odd |= !yyjson_is_int(length);
        if (index < OIP_DIMENSIONS_MAX) /* one beyond all memory stays so */
            found->shape[index] = yyjson_get_uint(length) > INT64_MAX && yyjson_is_uint(length)
                                      ? INT64_MAX
                                      : yyjson_get_sint(length);
    }
    *odd_shape = is_odd ? yyjson_val_write(shape, 0, NULL) : NULL;
    if (is_odd)
        found->odd_shape = *odd_shape ? *odd_shape : "none";
}

/* Judge an output that starts at byte `place` of all outputs; return where it ends by its own shape. */
static size_t judge_output(struct http_reader *r, yyjson_val *described, const struct oip_output *wanted,
                           size_t place)
{
    size_t value_bytes = tensordata_value_bytes(wanted->dtype), values;
    yyjson_val *name = yyjson_obj_get(described, "name");
    yyjson_val *datatype = yyjson_obj_get(described, "datatype");
    struct oip_found found = {
        .name = yyjson_get_str(name), .name_bytes = yyjson_get_len(name),
        .datatype = yyjson_get_str(datatype), .datatype_bytes = yyjson_get_len(datatype),
    };
    char *odd_shape;
    read_shape(yyjson_obj_get(described, "shape"), &found, &odd_shape);
    bool as_wanted = oip_judge_found(r->head.check, wanted, &found, output_bytes_max(r) - place, &values);
    free(odd_shape);
    if (!as_wanted)
        return place; /* ignored after a failure */
    yyjson_val *data = yyjson_obj_get(described, "data");
    if (plan_of(r)->outputs.in_memory) {
        if (data != NULL)
            oip_unwanted_values(r->head.check, wanted);
        return place + values * value_bytes;
    }
    if (wanted->dtype == TENSOR_STRINGS)
        return judge_strings(r, described, wanted, values, place);
    if (r->has_binary)
        judge_size(r, described, wanted, values * value_bytes);
    else
        judge_values(r, data, wanted, values, r->head.check->output ? r->head.check->output + place : NULL);
    return place + values * value_bytes;
}

static void judge_outputs(struct http_reader *r)
{
    const struct oip_outputs *wanted = &plan_of(r)->outputs;
    uint64_t binary_bytes = r->has_binary ? r->body_bytes - r->json_length : 0;
    size_t end = 0;
    yyjson_doc *document = yyjson_read(r->json, r->json_bytes, YYJSON_READ_ALLOW_INF_AND_NAN);
    yyjson_val *outputs = yyjson_obj_get(yyjson_doc_get_root(document), "outputs");
    if (document == NULL)
        replycheck_fail(r->head.check, FAILURE_WRONG_REPLY, "the reply is not JSON");
    else if (yyjson_arr_size(outputs) != wanted->count)
        oip_wrong_outputs(r->head.check, wanted, yyjson_arr_size(outputs));
    else
        for (size_t i = 0; i < wanted->count; i++) {
            end = judge_output(r, yyjson_arr_get(outputs, i), &wanted->all[i], end);
            if (i == 0)
                r->head.check->first_bytes = end;
        }
    if (r->has_binary && binary_bytes != end)
        replycheck_fail(r->head.check, FAILURE_WRONG_SIZE, "outputs of %llu bytes, expected %zu",
                        (unsigned long long)binary_bytes, end);
    yyjson_doc_free(document);
}

/* Copy the server's message: from its JSON, or the first line of the body. */
static void judge_refusal(struct http_reader *r, int status)
{
    enum failure_kind kind = failure_of_http(status);
    if (r->encoding[0]) {
        replycheck_fail(r->head.check, kind, "HTTP %d, its message in Content-Encoding: %s", status, r->encoding);
        return;
    }
    yyjson_doc *document = yyjson_read(r->json, r->json_bytes, 0);
    yyjson_val *error = yyjson_obj_get(yyjson_doc_get_root(document), "error");
    const char *words = yyjson_get_str(error);
    int line = 0;
    while ((size_t)line < r->json_bytes && line < ERRSTR_BYTES && strchr("\r\n", r->json[line]) == NULL)
        line++;
    if (words)
        replycheck_fail(r->head.check, kind, "HTTP %d: %s", status, words);
    else
        replycheck_fail(r->head.check, kind, "HTTP %d: %.*s", status, line, r->json);
    yyjson_doc_free(document);
}

static void tell_header(struct http_reader *r, const char *name, const char *value)
{
    char *message = r->head.check->message;
    size_t used = strlen(message);
    if (value[0])
        snprintf(message + used, ERRSTR_BYTES - used, " (%s: %s)", name, value);
}

/* Reported but ignored: a client that slows down for the server would not measure it under load. */
static void tell_retry_after(struct http_reader *r)
{
    tell_header(r, "Retry-After", r->retry_after);
}

static void settle(void *of)
{
    struct http_reader *r = of;
    const struct http_plan *plan = plan_of(r);
    int status = llhttp_get_status_code(&r->head.parser);
    uint64_t binary_bytes = r->body_bytes - (r->has_binary ? r->json_length : r->body_bytes);
    if (status < 200 || status > 299) {
        judge_refusal(r, status);
        tell_retry_after(r);
        return;
    }
    if (r->encoding[0])
        replycheck_fail(r->head.check, FAILURE_WRONG_REPLY,
                        "the reply has Content-Encoding: %s, which was not requested", r->encoding);
    else if (r->length_is_wrong)
        replycheck_fail(r->head.check, FAILURE_WRONG_REPLY, "its Inference-Header-Content-Length is not a length");
    else if (r->has_binary != (plan->json_bytes > 0))
        replycheck_fail(r->head.check, FAILURE_WRONG_REPLY, "the reply is %s, the trial's was not",
                        r->has_binary ? "binary" : "JSON");
    else if (r->has_binary && r->json_length > r->body_bytes)
        replycheck_fail(r->head.check, FAILURE_WRONG_SIZE, "a body of %llu bytes, its JSON has %zu",
                        (unsigned long long)r->body_bytes, r->json_length);
    else if (!r->has_binary || plan->outputs.has_strings || binary_bytes != plan->outputs.bytes ||
             r->json_bytes != plan->json_bytes || memcmp(r->json, plan->json, plan->json_bytes) != 0)
        judge_outputs(r);
    else
        r->head.check->first_bytes = plan->outputs.all[0].bytes;
}

static bool is_success(const struct http_plan *plan, int status)
{
    return status >= 0 && status < HTTP_STATUSES_MAX && plan->successes[status / 64] >> status % 64 & 1;
}

/* settle for any endpoint. */
static void settle_any(void *of)
{
    struct http_reader *r = of;
    const struct http_plan *plan = plan_of(r);
    int status = llhttp_get_status_code(&r->head.parser);
    if (!is_success(plan, status)) {
        judge_refusal(r, status);
        tell_retry_after(r);
        tell_header(r, "Location", r->location);
    } else if (plan->body_rule == HTTP_BODY_SAME_SIZE && r->body_bytes != plan->body_bytes) {
        replycheck_fail(r->head.check, FAILURE_WRONG_SIZE, "a body of %llu bytes, the trial's had %zu",
                        (unsigned long long)r->body_bytes, plan->body_bytes);
    } else if (plan->body_rule == HTTP_BODY_JSON) {
        yyjson_doc *document = yyjson_read(r->json, r->json_bytes, 0);
        if (document == NULL)
            replycheck_fail(r->head.check, FAILURE_WRONG_REPLY, "the reply is not JSON");
        yyjson_doc_free(document);
    }
    r->head.check->first_bytes = 0;
}

void http_judge(const struct protocol *protocol, struct replycheck *check, const char *bytes, size_t count)
{
    void *shared = protocol->share ? protocol->share() : NULL;
    void *r = NULL;
    enum io_status status = IO_AGAIN;
    if (shared || !protocol->share)
        r = protocol->open(check, &(struct reader_size){
            .unjudged_bytes = count, .requests = 1, .pieces = 1, .shared = shared});
    if (r == NULL) {
        replycheck_fail(check, FAILURE_PROTOCOL, "out of memory");
        free(shared);
        return;
    }
    while (status == IO_AGAIN && count > 0) {
        size_t room_bytes = 0;
        char *to = protocol->room(r, &room_bytes);
        size_t piece = count < room_bytes ? count : room_bytes;
        memcpy(to, bytes, piece);
        protocol->came(r, piece);
        bytes += piece;
        count -= piece;
        status = protocol->judge(r);
    }
    if (status == IO_AGAIN)
        status = protocol->ended(r);
    if (status == IO_DONE)
        protocol->settle(r);
    protocol->close(r);
    free(shared);
}

const struct protocol http_protocol = {
    .peer_may_close = true,
    .open = open_reader,
    .room = room,
    .came = came,
    .judge = judge,
    .ended = ended,
    .has_unjudged = has_unjudged,
    .settle = settle,
    .is_last = http_head_is_last,
    .close = close_reader,
};

const struct protocol http_any_protocol = {
    .peer_may_close = true,
    .open = open_any_reader,
    .room = room,
    .came = came,
    .judge = judge,
    .ended = ended,
    .has_unjudged = has_unjudged,
    .settle = settle_any,
    .is_last = http_head_is_last,
    .close = close_reader,
};

#define TEXT_OF(token) #token
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *http_library_version(void)
{
    return VERSION_TEXT(LLHTTP_VERSION_MAJOR, LLHTTP_VERSION_MINOR, LLHTTP_VERSION_PATCH);
}
