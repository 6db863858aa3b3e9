#include "tokenevent.h"

#include <stdio.h>
#include <string.h>

#include <yyjson.h>

#define POOL_BYTES_A_BYTE 16 /* what parsing takes at most, roughly */
#define DIGITS_MAX 18

/* ---- In place ---- */

struct scan {
    const char *end;
    struct token_event *event;
    bool has_escapes; /* somewhere in the JSON */
};

/* What of an object was read: JSON allows a key twice, which is left to the parser. */
enum seen {
    SEEN_CHOICES = 1 << 0,
    SEEN_USAGE = 1 << 1,
    SEEN_DELTA = 1 << 2,
    SEEN_TEXT = 1 << 3,
    SEEN_FINISH = 1 << 4,
    SEEN_CONTENT = 1 << 5,
    SEEN_REFUSAL = 1 << 6,
    SEEN_TOOL_CALLS = 1 << 7,
    SEEN_REASONING = 1 << 8,
    SEEN_REASONING_CONTENT = 1 << 9,
    SEEN_OUTPUT_TOKENS = 1 << 10,
    SEEN_INPUT_TOKENS = 1 << 11
};

/* The functions below take where they begin, and return where what they read ends; NULL: they do not understand it.
 * There is always a byte to begin with. */
typedef const char *member_reader(struct scan *s, const char *at, const char *key, size_t key_bytes, unsigned *seen);

#define KEY_IS(name) (key_bytes == sizeof name - 1 && memcmp(key, name, sizeof name - 1) == 0)

static inline bool is_first(unsigned *seen, unsigned key)
{
    bool first = !(*seen & key);
    *seen |= key;
    return first;
}

/* Return the next byte that is not white space. */
static inline const char *skip_space(const char *at, const char *end)
{
    while (at < end && (unsigned char)*at <= ' ')
        at++;
    return at < end ? at : NULL;
}

/* Return whether an odd number of backslashes lies before `at`. */
static bool is_escaped(const char *from, const char *at)
{
    const char *first = at;
    while (first > from && first[-1] == '\\')
        first--;
    return (at - first) % 2 == 1;
}

static inline const char *skip_string(const char *at, const char *end)
{
    const char *quote = at + 1;
    while ((quote = memchr(quote, '"', (size_t)(end - quote))) != NULL && quote[-1] == '\\' &&
           is_escaped(at + 1, quote))
        quote++;
    return quote ? quote + 1 : NULL;
}

static const char *skip_nested(const char *at, const char *end)
{
    size_t depth = 0;
    while (at != NULL && at < end) {
        char c = *at;
        at = c == '"' ? skip_string(at, end) : at + 1;
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            return at;
    }
    return NULL;
}

static inline const char *skip_value(const char *at, const char *end)
{
    const char *from = at;
    if (*at == '"')
        return skip_string(at, end);
    if (*at == '{' || *at == '[')
        return skip_nested(at, end);
    while (at < end && *at > ',' && *at != '}' && *at != ']')
        at++;
    return at > from ? at : NULL;
}

/* Skip a comma and the space behind it, or the end. */
static inline const char *skip_comma(const char *at, const char *end, char closing, bool *ends)
{
    at = skip_space(at, end);
    if (at == NULL || (*at != ',' && *at != closing))
        return NULL;
    *ends = *at == closing;
    return *ends ? at + 1 : skip_space(at + 1, end);
}

/* Skip a key and its colon. */
static inline const char *skip_key(const struct scan *s, const char *at, size_t *key_bytes)
{
    const char *behind = *at == '"' ? skip_string(at, s->end) : NULL;
    if (behind == NULL)
        return NULL;
    *key_bytes = (size_t)(behind - at - 2);
    if (s->has_escapes && memchr(at, '\\', (size_t)(behind - at)) != NULL)
        return NULL;
    behind = skip_space(behind, s->end);
    return behind && *behind == ':' ? skip_space(behind + 1, s->end) : NULL;
}

static inline const char *read_object(struct scan *s, const char *at, member_reader *read)
{
    unsigned seen = 0;
    bool ends = false;
    at = skip_space(at + 1, s->end);
    if (at && *at == '}')
        return at + 1;
    while (at && !ends) {
        const char *key = at + 1;
        size_t key_bytes;
        at = skip_key(s, at, &key_bytes);
        if (at)
            at = read(s, at, key, key_bytes, &seen);
        if (at)
            at = skip_comma(at, s->end, '}', &ends);
    }
    return at;
}

/* Read a value that may be a text that is not empty. */
static inline const char *read_text(struct scan *s, const char *at, unsigned flag)
{
    const char *behind = skip_value(at, s->end);
    if (*at == '"' && behind && behind > at + 2)
        s->event->flags |= flag;
    return behind;
}

static const char *read_tool_calls(struct scan *s, const char *at)
{
    const char *inside = *at == '[' ? skip_space(at + 1, s->end) : NULL;
    if (inside && *inside != ']')
        s->event->flags |= EVENT_ANSWER;
    return skip_value(at, s->end);
}

static inline const char *read_delta_member(struct scan *s, const char *at, const char *key, size_t key_bytes,
                                            unsigned *seen)
{
    if (KEY_IS("content"))
        return is_first(seen, SEEN_CONTENT) ? read_text(s, at, EVENT_ANSWER) : NULL;
    if (KEY_IS("refusal"))
        return is_first(seen, SEEN_REFUSAL) ? read_text(s, at, EVENT_ANSWER) : NULL;
    if (KEY_IS("reasoning"))
        return is_first(seen, SEEN_REASONING) ? read_text(s, at, EVENT_REASONING) : NULL;
    if (KEY_IS("reasoning_content"))
        return is_first(seen, SEEN_REASONING_CONTENT) ? read_text(s, at, EVENT_REASONING) : NULL;
    if (KEY_IS("tool_calls"))
        return is_first(seen, SEEN_TOOL_CALLS) ? read_tool_calls(s, at) : NULL;
    return skip_value(at, s->end);
}

static inline const char *read_choice_member(struct scan *s, const char *at, const char *key, size_t key_bytes,
                                             unsigned *seen)
{
    if (KEY_IS("delta")) {
        if (!is_first(seen, SEEN_DELTA))
            return NULL;
        return *at == '{' ? read_object(s, at, read_delta_member) : skip_value(at, s->end);
    }
    if (KEY_IS("text"))
        return is_first(seen, SEEN_TEXT) ? read_text(s, at, EVENT_ANSWER) : NULL;
    if (KEY_IS("finish_reason")) /* some servers send an empty one in each event */
        return is_first(seen, SEEN_FINISH) ? read_text(s, at, EVENT_FINISH) : NULL;
    return skip_value(at, s->end);
}

static inline const char *read_choices(struct scan *s, const char *at)
{
    bool ends = false;
    if (*at != '[')
        return skip_value(at, s->end);
    at = skip_space(at + 1, s->end);
    if (at && *at == ']')
        return at + 1;
    while (at && !ends) {
        at = *at == '{' ? read_object(s, at, read_choice_member) : skip_value(at, s->end);
        if (at)
            at = skip_comma(at, s->end, ']', &ends);
    }
    return at;
}

/* Read a count; any other number is left to the parser. */
static const char *read_count(struct scan *s, const char *at, int64_t *count)
{
    const char *from = at;
    int64_t found = 0;
    while (at < s->end && *at >= '0' && *at <= '9' && at - from < DIGITS_MAX)
        found = found * 10 + (*at++ - '0');
    *count = found;
    bool ends = at < s->end && (*at == ',' || *at == '}' || *at == ' ');
    return ends && at > from && (*from != '0' || at == from + 1) ? at : NULL;
}

static const char *read_usage_member(struct scan *s, const char *at, const char *key, size_t key_bytes, unsigned *seen)
{
    if (KEY_IS("completion_tokens"))
        return is_first(seen, SEEN_OUTPUT_TOKENS) ? read_count(s, at, &s->event->output_tokens) : NULL;
    if (KEY_IS("prompt_tokens"))
        return is_first(seen, SEEN_INPUT_TOKENS) ? read_count(s, at, &s->event->input_tokens) : NULL;
    return skip_value(at, s->end);
}

static inline const char *read_root_member(struct scan *s, const char *at, const char *key, size_t key_bytes,
                                           unsigned *seen)
{
    if (KEY_IS("choices"))
        return is_first(seen, SEEN_CHOICES) ? read_choices(s, at) : NULL;
    if (KEY_IS("usage") && *at == '{') {
        s->event->flags |= EVENT_USAGE;
        return is_first(seen, SEEN_USAGE) ? read_object(s, at, read_usage_member) : NULL;
    }
    if (KEY_IS("usage"))
        return is_first(seen, SEEN_USAGE) ? skip_value(at, s->end) : NULL;
    return KEY_IS("error") && *at != 'n' ? NULL : skip_value(at, s->end);
}

static void start(struct token_event *event)
{
    event->flags = 0;
    event->output_tokens = event->input_tokens = TOKENS_UNKNOWN;
    event->is_error = false;
    event->words[0] = '\0';
}

bool tokenevent_scan(struct token_event *event, const char *json, size_t bytes)
{
    struct scan s = {json + bytes, event, memchr(json, '\\', bytes) != NULL};
    const char *at = skip_space(json, s.end);
    start(event);
    if (at && *at == '{')
        at = read_object(&s, at, read_root_member);
    else
        at = NULL;
    return at && skip_space(at, s.end) == NULL;
}

/* ---- As a document ---- */

static bool is_text(yyjson_val *object, const char *name)
{
    return yyjson_get_len(yyjson_obj_get(object, name)) > 0 && yyjson_is_str(yyjson_obj_get(object, name));
}

static unsigned flags_of_choice(yyjson_val *choice)
{
    yyjson_val *delta = yyjson_obj_get(choice, "delta");
    unsigned flags = 0;
    if (is_text(delta, "content") || is_text(choice, "text") || is_text(delta, "refusal") ||
        yyjson_arr_size(yyjson_obj_get(delta, "tool_calls")) > 0)
        flags |= EVENT_ANSWER;
    if (is_text(delta, "reasoning_content") || is_text(delta, "reasoning"))
        flags |= EVENT_REASONING;
    if (is_text(choice, "finish_reason"))
        flags |= EVENT_FINISH;
    return flags;
}

static void parse_usage(struct token_event *event, yyjson_val *usage)
{
    yyjson_val *output = yyjson_obj_get(usage, "completion_tokens"), *input = yyjson_obj_get(usage, "prompt_tokens");
    if (yyjson_is_obj(usage))
        event->flags |= EVENT_USAGE;
    if (yyjson_is_uint(output) && yyjson_get_uint(output) <= INT64_MAX)
        event->output_tokens = yyjson_get_sint(output);
    if (yyjson_is_uint(input) && yyjson_get_uint(input) <= INT64_MAX)
        event->input_tokens = yyjson_get_sint(input);
}

/* `root` has the error, or is it; NULL: it is not JSON. */
static void copy_words(yyjson_val *root, errstr_t words)
{
    yyjson_val *error = yyjson_obj_get(root, "error");
    const char *found = yyjson_get_str(error);
    if (found == NULL)
        found = yyjson_get_str(yyjson_obj_get(error, "message"));
    if (found == NULL)
        found = yyjson_get_str(yyjson_obj_get(root, "message"));
    snprintf(words, ERRSTR_BYTES, "%s", found ? found : "");
}

void tokenevent_error_words(const char *json, size_t bytes, errstr_t words)
{
    yyjson_doc *document = yyjson_read(json, bytes, 0);
    copy_words(yyjson_doc_get_root(document), words);
    yyjson_doc_free(document);
}

bool tokenevent_parse(struct token_event *event, const char *json, size_t bytes, bool is_error,
                      char pool[TOKENEVENT_POOL_BYTES])
{
    yyjson_alc alc;
    yyjson_alc_pool_init(&alc, pool, TOKENEVENT_POOL_BYTES);
    bool fits = bytes < TOKENEVENT_POOL_BYTES / POOL_BYTES_A_BYTE;
    yyjson_doc *document = yyjson_read_opts((char *)json, bytes, 0, fits ? &alc : NULL, NULL);
    yyjson_val *root = yyjson_doc_get_root(document), *error = yyjson_obj_get(root, "error"), *choice;
    size_t place, count;
    bool is_object = yyjson_is_obj(root);
    start(event);
    event->is_error = is_error || (error && !yyjson_is_null(error));
    if (event->is_error)
        copy_words(root, event->words);
    yyjson_arr_foreach(yyjson_obj_get(root, "choices"), place, count, choice)
        event->flags |= flags_of_choice(choice);
    parse_usage(event, yyjson_obj_get(root, "usage"));
    yyjson_doc_free(document);
    return is_object || is_error;
}

bool tokenevent_read(struct token_event *event, const char *json, size_t bytes, bool is_error,
                     char pool[TOKENEVENT_POOL_BYTES])
{
    return (!is_error && tokenevent_scan(event, json, bytes)) || tokenevent_parse(event, json, bytes, is_error, pool);
}
