/* The target for streams of inferences: one call of gRPC with messages for FUZZ_STREAMS requests. An input's first byte
 * says what was asked, its second how the bytes are cut and whether the peer then ends; the rest are frames. */
#include "frames.h"
#include "response.h"

#include <stdio.h>
#include <string.h>

#include "../../../src/aibench_fast/native/grpcstream.c" /* so that the replies that it kept can be looked at */

#define CASE_BYTES 2
#define STREAM 1
#define REPLIES_MAX 3
#define ID_TEXT "0000000000000000"
#define FINAL_IS(value) "\x22\x1b\x0a\x15" FINAL "\x12\x02\x08" value

static const struct request_kind *kind_of(uint8_t number)
{
    static struct request_kind kinds[RESPONSE_KINDS];
    memcpy(kinds, response_kinds, sizeof kinds);
    for (size_t i = 0; i < RESPONSE_KINDS; i++)
        kinds[i].id_at = 2;
    return &kinds[number % RESPONSE_KINDS];
}

static void begin(const struct fuzz_case *given, void *reader)
{
    static const char body[] = "\x1a\x10" ID_TEXT;
    frames_begin(given, reader, body, sizeof body - 1);
}

static void send_all(void *reader)
{
    frames_send(&grpc_stream_protocol, reader);
}

static void on_success(const struct fuzz_case *given, const void *reader, const char *bytes, size_t count,
                       const char *output)
{
    const struct stream_reader *r = reader;
    const struct inference *one = &r->inferences[r->ended];
    (void)bytes;
    FUZZ_CHECK(!one->ends_with_call, "a success of a call that ended");
    FUZZ_CHECK(one->last_bytes <= count, "a message of more than came");
    FUZZ_CHECK(one->replies > 0 || one->last_bytes == 0, "a reply that is not counted");
    if (one->last_bytes > 0)
        response_check(given->kind, r->check, one->last, one->last_bytes, output);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    if (count < CASE_BYTES)
        return 0;
    const struct fuzz_case given = {
        .protocol = &grpc_stream_protocol,
        .kind = kind_of(bytes[0]),
        .peer_ends = bytes[1] & 1,
        .cuts_seed = bytes[1],
        .requests = FUZZ_STREAMS,
        .begin = begin,
        .send = send_all,
        .on_success = on_success,
    };
    fuzz_judge(&given, (const char *)bytes + CASE_BYTES, count - CASE_BYTES);
    return 0;
}

/* A message of the stream: an error, or a reply to a request, which may be its last. */
static void add_message(struct fuzz_text *to, const struct request_kind *kind, uint64_t id, bool is_last,
                        uint64_t *state)
{
    char inner[RESPONSE_BYTES_MAX], outer[RESPONSE_BYTES_MAX + 8];
    struct fuzz_text response = {inner, sizeof inner, 0}, message = {outer, sizeof outer, 0};
    fuzz_print(&response, "\x1a\x10%016llu", (unsigned long long)id);
    if (!is_last)
        fuzz_add(&response, FINAL_IS("\x00"), sizeof FINAL_IS("\x00") - 1);
    else if (fuzz_below(state, 2))
        fuzz_add(&response, FINAL_IS("\x01"), sizeof FINAL_IS("\x01") - 1);
    if (!is_last || fuzz_below(state, 4))
        response_add(&response, kind, state);
    if (fuzz_below(state, 16) == 0)
        fuzz_add(&message, "\x0a\x02no", 4);
    unsigned char head[] = {0x12, (unsigned char)(response.count | 0x80), (unsigned char)(response.count >> 7)};
    fuzz_add(&message, head, sizeof head);
    fuzz_add(&message, response.bytes, response.count);
    frames_add_message(to, &message, state);
}

void fuzz_generate(struct fuzz_text *input, uint64_t *state)
{
    char data[8 * RESPONSE_BYTES_MAX];
    uint8_t head[CASE_BYTES] = {(uint8_t)fuzz_below(state, 256), (uint8_t)fuzz_below(state, 256)};
    uint64_t first = fuzz_below(state, FUZZ_STREAMS);
    fuzz_add(input, head, sizeof head);
    FRAMES_ADD_HEADERS(input, 0, STREAM, STATUS_200 CONTENT_TYPE, state);
    for (uint64_t i = 0; i < FUZZ_STREAMS; i++) {
        struct fuzz_text messages = {data, sizeof data, 0};
        for (uint64_t replies = fuzz_below(state, REPLIES_MAX) + 1; replies > 0; replies--)
            add_message(&messages, kind_of(head[0]), 1 + (first + i) % FUZZ_STREAMS, replies == 1, state);
        frames_add_data(input, STREAM, data, messages.count, state);
        if (fuzz_below(state, 16) == 0)
            frames_add_other(input, STREAM, state);
    }
    if (fuzz_below(state, 4) == 0)
        FRAMES_ADD_HEADERS(input, END_STREAM, STREAM, GRPC_STATUS_IS("8") GRPC_MESSAGE, state);
}
