/* The target for HTTP. An input's first byte says what was asked, its second how the bytes are cut and whether the
 * peer then ends; the rest are the replies. */
#include "fuzz.h"

#include <stdio.h>
#include <string.h>

#include "../../../src/aibench_fast/native/http.c" /* so that what the reader kept of a reply can be looked at */

#define HEAD_BYTES 2
#define OUTPUT_BYTES 64
#define TEXT_BYTES 1024
#define LONG_BYTES 6000 /* more than a reader keeps of a body */
#define ROWS_MAX 4 /* of an output of any length */
#define JSON_BYTES_MAX 256
#define DATA "\"data\":[0.0,1.5,-2,3e4]"
#define MODEL_REPLY(outputs) "{\"id\":\"1\",\"model_name\":\"m\",\"outputs\":[" outputs "]}"
#define FLOATS(size) "{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[1,16]" size "}"
#define BYTES(size) "{\"name\":\"z\",\"datatype\":\"UINT8\",\"shape\":[2,2,2]" size "}"
#define FOUR(data) "{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[2,2]" data "}"
#define STRINGS(size) "{\"name\":\"s\",\"datatype\":\"BYTES\",\"shape\":[2]" size "}"
#define STRINGS_BYTES 11 /* one of three bytes, and one of none, each with its length */
#define SIZE(bytes) ",\"parameters\":{\"binary_data_size\":" #bytes "}"

const char *const fuzz_words[] = {
    "\r\n", "\r\n\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.0 200 OK\r\n", "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "Content-Encoding: gzip\r\n", "Content-Encoding: identity\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n",
    "Content-Length: 0\r\n", "Content-Length: -1\r\n", "Content-Length: 99999999999999999999\r\n",
    "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: gzip\r\n", "Connection: close\r\n",
    "Connection: keep-alive\r\n", "Inference-Header-Content-Length: 1\r\n", "Inference-Header-Content-Length: -1\r\n",
    "Inference-Header-Content-Length: x\r\n", "Inference-Header-Content-Length: 18446744073709551615\r\n",
    "0\r\n\r\n", "ffffffffffffffff\r\n", "40;a=b\r\n", "\0", "[", "]", "{", "}", "[[[[[[[[", "\"", ",", ":", "\\u0000", "null",
    "1e999", "-0", "\"error\":\"no\"", "\"outputs\":[]", "\"shape\":[\"1\"]", "\"shape\":[16]", "[1.0,16]",
    "18446744073709551616", "\"data\":[[]]", NULL,
};

struct asked_kind {
    struct request_kind kind;
    const char *json; /* of the reply that the trial had, and of every right one but for its order and spaces; NULL:
                       * that depends on how many rows of OUTPUT_BYTES the output has */
};

static const struct asked_kind asked[] = {
    {{.http = {.json = MODEL_REPLY(FLOATS(SIZE(64))), .json_bytes = sizeof MODEL_REPLY(FLOATS(SIZE(64))) - 1,
               .outputs = {.count = 1, .all = {{"y", "FP32", TENSOR_FLOAT, {1, 16}, 2, 64}}, .bytes = 64}},
      .output_bytes = OUTPUT_BYTES, .output_bytes_max = OUTPUT_BYTES, .text_bytes = TEXT_BYTES},
     MODEL_REPLY(FLOATS(SIZE(64)))},
    {{.http = {.json = MODEL_REPLY(FLOATS(SIZE(64)) "," BYTES(SIZE(8))),
               .json_bytes = sizeof MODEL_REPLY(FLOATS(SIZE(64)) "," BYTES(SIZE(8))) - 1,
               .outputs = {.count = 2,
                           .all = {{"y", "FP32", TENSOR_FLOAT, {1, 16}, 2, 64},
                                   {"z", "UINT8", TENSOR_UINT8, {2, 2, 2}, 3, 8}},
                           .bytes = 72}},
      .output_bytes = OUTPUT_BYTES + 8, .output_bytes_max = OUTPUT_BYTES + 8, .text_bytes = TEXT_BYTES},
     MODEL_REPLY(FLOATS(SIZE(64)) "," BYTES(SIZE(8)))},
    {{.http = {.outputs = {.count = 1, .all = {{"y", "FP32", TENSOR_FLOAT, {2, 2}, 2, 16}}}},
      .output_bytes_max = 16, .text_bytes = TEXT_BYTES},
     MODEL_REPLY(FOUR("," DATA))},
    {{.http = {.json = MODEL_REPLY(FLOATS(SIZE(64))), .json_bytes = sizeof MODEL_REPLY(FLOATS(SIZE(64))) - 1,
               .outputs = {.count = 1, .all = {{"y", "FP32", TENSOR_FLOAT, {OIP_ANY_LENGTH, 16}, 2, 64}}, .bytes = 64}},
      .output_bytes = OUTPUT_BYTES, .output_bytes_max = ROWS_MAX * OUTPUT_BYTES, .text_bytes = TEXT_BYTES},
     NULL},
    {{.http = {.json = MODEL_REPLY(STRINGS(SIZE(11))), .json_bytes = sizeof MODEL_REPLY(STRINGS(SIZE(11))) - 1,
               .outputs = {.count = 1, .all = {{"s", "BYTES", TENSOR_STRINGS, {2}, 1, STRINGS_BYTES}},
                           .bytes = STRINGS_BYTES, .has_strings = true}},
      .output_bytes = STRINGS_BYTES, .output_bytes_max = STRINGS_BYTES, .text_bytes = TEXT_BYTES},
     MODEL_REPLY(STRINGS(SIZE(11)))},
};
#define KINDS (sizeof asked / sizeof *asked)

static const struct asked_kind *asked_of(const struct request_kind *kind)
{
    return (const struct asked_kind *)((const char *)kind - offsetof(struct asked_kind, kind));
}

/* The JSON of a right reply with outputs of so many bytes. */
static const char *json_of(const struct asked_kind *kind, size_t output_bytes, char json[JSON_BYTES_MAX])
{
    if (kind->json != NULL)
        return kind->json;
    snprintf(json, JSON_BYTES_MAX, MODEL_REPLY("{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[%zu,16],"
                                               "\"parameters\":{\"binary_data_size\":%zu}}"),
             output_bytes / OUTPUT_BYTES, output_bytes);
    return json;
}

/* Whether all that the trial's output says is what another says of it, but for the values. */
static bool is_alike(yyjson_val *found, yyjson_val *trial)
{
    size_t index, most;
    yyjson_val *key, *wanted;
    yyjson_obj_foreach(trial, index, most, key, wanted) {
        yyjson_val *other = yyjson_obj_getn(found, yyjson_get_str(key), yyjson_get_len(key));
        if (yyjson_equals_str(key, "data") ? !yyjson_is_arr(other)
            : yyjson_is_obj(wanted)        ? !is_alike(other, wanted)
                                           : !yyjson_equals(other, wanted))
            return false;
    }
    return true;
}

static bool is_asked(const char *json, size_t json_bytes, const char *trial)
{
    yyjson_doc *found = yyjson_read(json, json_bytes, YYJSON_READ_ALLOW_INF_AND_NAN);
    yyjson_doc *wanted = yyjson_read(trial, strlen(trial), 0);
    yyjson_val *outputs = yyjson_obj_get(yyjson_doc_get_root(found), "outputs");
    yyjson_val *trials = yyjson_obj_get(yyjson_doc_get_root(wanted), "outputs"), *one;
    bool alike = yyjson_arr_size(outputs) == yyjson_arr_size(trials);
    size_t index, most;
    yyjson_arr_foreach(trials, index, most, one) {
        alike = alike && is_alike(yyjson_arr_get(outputs, index), one);
    }
    yyjson_doc_free(found);
    yyjson_doc_free(wanted);
    return alike;
}

/* Whether all bytes of an output are among those that came, in their order: chunks have others between. */
static bool has_in_order(const char *bytes, size_t count, const char *output, size_t wanted)
{
    size_t found = 0;
    for (size_t i = 0; i < count && found < wanted; i++)
        found += bytes[i] == output[found];
    return found == wanted;
}

/* Whether these bytes are two strings with their lengths. */
static bool two_strings(const char *bytes, size_t count)
{
    size_t place = 0;
    for (int i = 0; i < 2; i++) {
        uint32_t length;
        if (count - place < sizeof length)
            return false;
        memcpy(&length, bytes + place, sizeof length);
        place += sizeof length;
        if (length > count - place)
            return false;
        place += length;
    }
    return place == count;
}

static void on_success(const struct fuzz_case *given, const void *reader, const char *bytes, size_t count,
                       const char *output)
{
    const struct http_reader *r = reader;
    const struct asked_kind *asked_for = asked_of(given->kind);
    size_t wanted = asked_for->json ? given->kind->output_bytes : r->head.check->first_bytes;
    char json[JSON_BYTES_MAX];
    FUZZ_CHECK(wanted <= given->kind->output_bytes_max, "a success of more than there is room for");
    FUZZ_CHECK(count > 17 + wanted && memmem(bytes, count, "HTTP/1.", 7), "a success of what is no reply");
    FUZZ_CHECK(r->head.parser.status_code / 100 == 2, "a success of another status");
    FUZZ_CHECK(r->has_binary == (given->kind->output_bytes > 0), "a success in the other encoding");
    FUZZ_CHECK(!r->has_binary || r->body_bytes == r->json_length + wanted, "a success of another length");
    FUZZ_CHECK(is_asked(r->json, r->json_bytes, json_of(asked_for, wanted, json)), "a success of another reply");
    FUZZ_CHECK(!given->kind->http.outputs.has_strings || two_strings(r->kept, wanted), "a success of other strings");
    FUZZ_CHECK(output == NULL || has_in_order(bytes, count, output, wanted), "an output is not what came");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    if (count < HEAD_BYTES)
        return 0;
    const struct request_kind *kind = &asked[bytes[0] % KINDS].kind;
    const struct fuzz_case given = {
        .protocol = &http_protocol,
        .kind = kind,
        .copies_output = kind->output_bytes > 0 && bytes[0] & 0x80,
        .peer_ends = bytes[1] & 1,
        .cuts_seed = bytes[1],
        .on_success = on_success,
    };
    fuzz_judge(&given, (const char *)bytes + HEAD_BYTES, count - HEAD_BYTES);
    return 0;
}

static void add_chunks(struct fuzz_text *to, const struct fuzz_text *body, uint64_t *state)
{
    for (size_t at = 0, piece; at < body->count; at += piece) {
        piece = 1 + fuzz_below(state, body->count - at);
        fuzz_print(to, fuzz_below(state, 4) ? "%zx\r\n" : "%zX;name=\"value\"\r\n", piece);
        fuzz_add(to, body->bytes + at, piece);
        fuzz_print(to, "\r\n");
    }
    fuzz_print(to, fuzz_below(state, 4) ? "0\r\n\r\n" : "0\r\nInference-Header-Content-Length: 7\r\n\r\n");
}

static void add_words(struct fuzz_text *to, uint64_t *state)
{
    const char *word = fuzz_words[fuzz_below(state, sizeof fuzz_words / sizeof *fuzz_words - 1)];
    fuzz_add(to, word, strlen(word));
}

/* The trial's JSON, or that with something else in it. */
static void add_json(struct fuzz_text *to, const char *trial, uint64_t *state)
{
    size_t count = strlen(trial);
    size_t at = fuzz_below(state, 3) ? count : fuzz_below(state, count);
    fuzz_add(to, trial, at);
    if (at < count)
        add_words(to, state);
    size_t skipped = fuzz_below(state, 2) ? 0 : fuzz_below(state, 8);
    if (at + skipped < count)
        fuzz_add(to, trial + at + skipped, count - at - skipped);
}

static void add_reply(struct fuzz_text *to, const struct asked_kind *kind, uint64_t *state)
{
    static const int statuses[] = {200, 200, 200, 200, 200, 201, 204, 302, 400, 429, 500, 503};
    char body[LONG_BYTES + 256];
    struct fuzz_text text = {body, sizeof body, 0};
    char json[JSON_BYTES_MAX];
    size_t output_bytes = kind->json ? kind->kind.output_bytes : fuzz_below(state, ROWS_MAX + 2) * OUTPUT_BYTES;
    int status = statuses[fuzz_below(state, sizeof statuses / sizeof *statuses)];
    uint64_t framing = fuzz_below(state, 8);
    if (status < 300)
        add_json(&text, json_of(kind, output_bytes, json), state);
    else
        fuzz_print(&text, fuzz_below(state, 2) ? "{\"error\":\"no\\nroom\"}" : "sorry");
    while (status >= 500 && fuzz_below(state, 16) != 0 && text.count < LONG_BYTES)
        fuzz_print(&text, "%0512d", 7);
    size_t json_bytes = text.count;
    if (kind->kind.http.outputs.has_strings && fuzz_below(state, 4) != 0) {
        char strings[STRINGS_BYTES] = {3, 0, 0, 0, 'c', 'a', 't'};
        if (fuzz_below(state, 4) == 0)
            strings[fuzz_below(state, STRINGS_BYTES)] = (char)fuzz_below(state, 256);
        fuzz_add(&text, strings, STRINGS_BYTES);
        output_bytes = 0;
    }
    for (size_t i = 0; i < output_bytes; i++)
        fuzz_add(&text, &(char){(char)fuzz_below(state, 256)}, 1);
    fuzz_print(to, "HTTP/1.1 %d Told\r\n", status);
    if (fuzz_below(state, 4) == 0)
        add_words(to, state);
    if (kind->kind.output_bytes > 0)
        fuzz_print(to, "%s: %zu\r\n", fuzz_below(state, 4) ? "Inference-Header-Content-Length"
                                                            : "inference-header-content-length", json_bytes);
    if (framing < 5)
        fuzz_print(to, "Content-Length: %zu\r\n", text.count);
    else if (framing < 7)
        fuzz_print(to, "Transfer-Encoding: chunked\r\n");
    fuzz_print(to, "\r\n");
    if (framing == 5 || framing == 6)
        add_chunks(to, &text, state);
    else
        fuzz_add(to, text.bytes, text.count);
}

void fuzz_generate(struct fuzz_text *input, uint64_t *state)
{
    uint8_t head[HEAD_BYTES] = {(uint8_t)fuzz_below(state, 256), (uint8_t)fuzz_below(state, 256)};
    fuzz_add(input, head, sizeof head);
    for (uint64_t requests = fuzz_below(state, 4); requests > 0; requests--) {
        if (fuzz_below(state, 8) == 0)
            fuzz_print(input, "HTTP/1.1 100 Continue\r\n\r\n");
        add_reply(input, &asked[head[0] % KINDS], state);
    }
}
