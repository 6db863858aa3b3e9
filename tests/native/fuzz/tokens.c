/* The target for streams of tokens. An input's first byte says what was asked, its second how the bytes are cut and
 * whether the peer then ends; the rest is one reply. */
#include "fuzz.h"

#include <stdio.h>
#include <string.h>

#include "../../../src/aibench_fast/native/tokenstream.c" /* so that what the reader found can be looked at */

#define HEAD_BYTES 2
#define EVENTS_MAX 12
#define BODY_BYTES_MAX (32 * 1024)

const char *const fuzz_words[] = {
    "\n", "\r\n", "\r", "\n\n", "data:", "data: ", "data: [DONE]\n\n", "event: error\n", "event:x\n", ": ping\n\n", "id: 1\n",
    "\xef\xbb\xbf", "{", "}", "[", "]", "\"", "\\\"", "\\u0065", "null", ",", "\"choices\":", "\"delta\":{", "\"content\":\"a\"",
    "\"finish_reason\":\"stop\"", "\"usage\":{\"completion_tokens\":3,\"prompt_tokens\":4}", "\"error\":{\"message\":\"no\"}",
    "0\r\n\r\n", "5\r\n", "Retry-After: 3\r\n", "Content-Length: 7\r\n", "HTTP/1.1 200 OK\r\n", "\0", NULL,
};

static const struct request_kind asked[] = {
    {.tokens = {.end = STREAM_END_USUAL}, .text_bytes = 4096},
    {.tokens = {.end = STREAM_END_DONE, .min_tokens = 2}, .text_bytes = 4096},
    {.tokens = {.end = STREAM_END_FINISH}, .text_bytes = 4096},
    {.tokens = {.end = STREAM_END_HTTP, .token_timeout_ns = 1}, .text_bytes = 4096},
};
#define KINDS (sizeof asked / sizeof *asked)

static void begin(const struct fuzz_case *given, void *reader)
{
    tokenstream_protocol.streams->submit(reader, given->kind, NULL, 0);
}

static void send_all(void *reader)
{
    (void)reader;
}

static size_t times_in(const char *bytes, size_t count, const char *word)
{
    size_t found = 0;
    for (const char *at = bytes; (at = memmem(at, (size_t)(bytes + count - at), word, strlen(word))) != NULL; at++)
        found++;
    return found;
}

static void on_success(const struct fuzz_case *given, const void *reader, const char *bytes, size_t count,
                       const char *output)
{
    const struct stream_reader *r = reader;
    const struct token_marks *m = &r->marks;
    (void)output;
    FUZZ_CHECK(m->chunks > 0 && m->chunks <= m->events, "a success without content");
    FUZZ_CHECK(m->reads <= m->events, "more receives than events");
    FUZZ_CHECK(m->first_event_ns <= m->first_content_ns && m->first_content_ns <= m->last_content_ns &&
                   m->last_content_ns <= m->ended_ns, "times that go back");
    FUZZ_CHECK(token_marks_tokens(m) >= given->kind->tokens.min_tokens, "too few tokens");
    FUZZ_CHECK(m->events <= times_in(bytes, count, "a"), "more events than data");
    FUZZ_CHECK(given->kind->tokens.end != STREAM_END_DONE || r->is_done, "a success without the end that was asked for");
    FUZZ_CHECK(given->kind->tokens.end != STREAM_END_FINISH || r->is_finished, "a success that did not finish");
}

/* An event that is read in place is what a parser finds in it. */
static void check_in_place(const char *json, size_t bytes)
{
    static char pool[TOKENEVENT_POOL_BYTES];
    struct token_event scanned, parsed;
    char *copy = malloc(bytes); /* so that nothing is read behind it */
    memcpy(copy, json, bytes);
    if (tokenevent_scan(&scanned, copy, bytes) && tokenevent_parse(&parsed, copy, bytes, false, pool)) {
        FUZZ_CHECK(!parsed.is_error, "an error that is overlooked");
        FUZZ_CHECK(scanned.flags == parsed.flags, "an event that has something else");
        FUZZ_CHECK(scanned.output_tokens == parsed.output_tokens && scanned.input_tokens == parsed.input_tokens,
                   "an event with other counts");
    }
    free(copy);
}

static void check_all_in_place(const char *bytes, size_t count)
{
    const char *end = bytes + count, *newline;
    for (const char *at = bytes; (at = memchr(at, '{', (size_t)(end - at))) != NULL; at = newline) {
        newline = memchr(at, '\n', (size_t)(end - at));
        newline = newline ? newline : end;
        check_in_place(at, (size_t)(newline - at));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    if (count < HEAD_BYTES)
        return 0;
    const struct fuzz_case given = {
        .protocol = &tokenstream_protocol,
        .kind = &asked[bytes[0] % KINDS],
        .requests = 1,
        .peer_ends = bytes[1] & 1,
        .cuts_seed = bytes[1],
        .begin = begin,
        .send = send_all,
        .on_success = on_success,
    };
    check_all_in_place((const char *)bytes + HEAD_BYTES, count - HEAD_BYTES);
    fuzz_judge(&given, (const char *)bytes + HEAD_BYTES, count - HEAD_BYTES);
    return 0;
}

static const char *one_of(const char *const *words, size_t count, uint64_t *state)
{
    return words[fuzz_below(state, count)];
}
#define ONE_OF(words, state) one_of(words, sizeof words / sizeof *words, state)

static void add_event(struct fuzz_text *to, uint64_t *state)
{
    static const char *const data[] = {
        "{\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}",
        "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word\"}}],\"usage\":null}",
        "{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"w\\u00f6rd \\\"\\n\"}}],\"obfuscation\":\"]}x\"}",
        "{\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"}}]}",
        "{\"choices\":[{\"index\":0,\"text\":\"plain\",\"finish_reason\":null}]}",
        "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0}]}}],\ndata: \"usage\":{\"completion_tokens\":2}}",
        "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}",
        "{\"id\": \"x\", \"created\": 17e3, \"choices\": [ {\"delta\": {\"content\": \"a\", \"tool_calls\": [ ]}, \"logprobs\":"
        " {\"content\": [{\"token\": \"]\"}]}} , {\"text\": \"\\\\\"} ]}",
        "{\"choices\":[],\"error\":null,\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":5}}",
    };
    static const char *const ends[] = {"\n\n", "\n\n", "\r\n\r\n", "\n\r\n", "\n: ping\n\n", "\nid: 7\n\n"};
    if (fuzz_below(state, 24) == 0)
        fuzz_print(to, "%s", fuzz_below(state, 2) ? "event: error\n" : "data: {\"error\":{\"message\":\"no\\nroom\"}}\n\n");
    fuzz_print(to, "data:%s%s%s", fuzz_below(state, 8) ? " " : "", ONE_OF(data, state),
               fuzz_below(state, 64) ? ONE_OF(ends, state) : "\n");
}

static void add_body(struct fuzz_text *to, uint64_t *state)
{
    if (fuzz_below(state, 8) == 0)
        fuzz_print(to, BYTE_ORDER_MARK);
    for (uint64_t events = fuzz_below(state, EVENTS_MAX); events > 0; events--)
        add_event(to, state);
    if (fuzz_below(state, 8))
        fuzz_print(to, "data: [DONE]%s", fuzz_below(state, 8) ? "\n\n" : "");
}

static void add_chunks(struct fuzz_text *to, const struct fuzz_text *body, uint64_t *state)
{
    for (size_t at = 0, piece; at < body->count; at += piece) {
        piece = 1 + fuzz_below(state, body->count - at);
        fuzz_print(to, "%zx\r\n", piece);
        fuzz_add(to, body->bytes + at, piece);
        fuzz_print(to, "\r\n");
    }
    fuzz_print(to, "0\r\n\r\n");
}

void fuzz_generate(struct fuzz_text *input, uint64_t *state)
{
    static const int statuses[] = {200, 200, 200, 200, 200, 200, 429, 503};
    static const char *const types[] = {"text/event-stream", "text/event-stream; charset=utf-8", "Text/Event-Stream",
                                        "text/event-stream", "application/json"};
    char body[BODY_BYTES_MAX];
    struct fuzz_text text = {body, sizeof body, 0};
    uint8_t head[HEAD_BYTES] = {(uint8_t)fuzz_below(state, 256), (uint8_t)fuzz_below(state, 256)};
    int status = statuses[fuzz_below(state, sizeof statuses / sizeof *statuses)];
    fuzz_add(input, head, sizeof head);
    if (fuzz_below(state, 8) == 0)
        fuzz_print(input, "HTTP/1.1 100 Continue\r\n\r\n");
    fuzz_print(input, "HTTP/1.1 %d Said\r\nContent-Type: %s\r\n", status, ONE_OF(types, state));
    if (status == 200)
        add_body(&text, state);
    else
        fuzz_print(&text, "%s", fuzz_below(state, 2) ? "{\"error\":{\"message\":\"slow\\ndown\"}}" : "sorry");
    uint64_t framing = fuzz_below(state, 8);
    if (framing < 5) {
        fuzz_print(input, "Transfer-Encoding: chunked\r\n\r\n");
        add_chunks(input, &text, state);
        return;
    }
    if (framing < 7)
        fuzz_print(input, "Content-Length: %zu\r\n", text.count);
    fuzz_print(input, "\r\n");
    fuzz_add(input, text.bytes, text.count);
}
