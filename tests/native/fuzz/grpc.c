/* The target for gRPC: frames of HTTP/2, with replies to FUZZ_STREAMS requests. An input's first byte says what was
 * asked, its second how the bytes are cut and whether the peer then ends; the rest are frames. */
#include "frames.h"
#include "response.h"

#include <stdio.h>
#include <string.h>

#include "../../../src/aibench_fast/native/grpc.c" /* so that what the reader kept of a reply can be looked at */

#define CASE_BYTES 2

static void begin(const struct fuzz_case *given, void *reader)
{
    frames_begin(given, reader, "12345678", 8);
}

static void send_all(void *reader)
{
    frames_send(&grpc_protocol, reader);
}

static void on_success(const struct fuzz_case *given, const void *reader, const char *bytes, size_t count,
                       const char *output)
{
    const struct grpc_reader *r = reader;
    const struct reply *reply = &r->replies[r->end.slot];
    FUZZ_CHECK(r->end.how == HTTP2_ANSWERED, "a success of a stream that was reset");
    FUZZ_CHECK(reply->http_status == 200 && reply->status == 0, "a success of another status");
    FUZZ_CHECK(reply->data_bytes >= PREFIX_BYTES && reply->data[0] == 0, "a success without a message");
    (void)bytes;
    FUZZ_CHECK(count >= reply->data_bytes, "a message of more than came");
    response_check(given->kind, r->check, reply->data + PREFIX_BYTES, reply->data_bytes - PREFIX_BYTES, output);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    if (count < CASE_BYTES)
        return 0;
    const struct fuzz_case given = {
        .protocol = &grpc_protocol,
        .kind = &response_kinds[bytes[0] % RESPONSE_KINDS],
        .copies_output = bytes[0] & 0x80,
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

static void add_reply(struct fuzz_text *to, const struct request_kind *kind, uint32_t stream, uint64_t *state)
{
    char message[RESPONSE_BYTES_MAX];
    char data[RESPONSE_BYTES_MAX + PREFIX_BYTES];
    struct fuzz_text made = {message, sizeof message, 0}, framed = {data, sizeof data, 0};
    response_add(&made, kind, state);
    frames_add_message(&framed, &made, state);
    if (fuzz_below(state, 8) == 0) {
        FRAMES_ADD_HEADERS(to, END_STREAM, stream, STATUS_200 CONTENT_TYPE GRPC_STATUS_IS("8") GRPC_MESSAGE, state);
        return;
    }
    FRAMES_ADD_HEADERS(to, 0, stream, STATUS_200 CONTENT_TYPE, state);
    if (fuzz_below(state, 8) == 0)
        frames_add_other(to, stream, state);
    frames_add_data(to, stream, data, framed.count, state);
    if (fuzz_below(state, 8))
        FRAMES_ADD_HEADERS(to, END_STREAM, stream, GRPC_STATUS_IS("0"), state);
    else
        FRAMES_ADD_HEADERS(to, END_STREAM, stream, GRPC_STATUS_IS("5") GRPC_MESSAGE, state);
}

void fuzz_generate(struct fuzz_text *input, uint64_t *state)
{
    uint8_t head[CASE_BYTES] = {(uint8_t)fuzz_below(state, 256), (uint8_t)fuzz_below(state, 256)};
    uint32_t first = (uint32_t)fuzz_below(state, FUZZ_STREAMS);
    fuzz_add(input, head, sizeof head);
    for (uint32_t i = 0; i < FUZZ_STREAMS; i++) {
        uint32_t stream = 1 + 2 * ((first + i) % FUZZ_STREAMS);
        if (fuzz_below(state, 8) == 0)
            frames_add_other(input, stream, state);
        if (fuzz_below(state, 8))
            add_reply(input, &response_kinds[head[0] % RESPONSE_KINDS], stream, state);
    }
}
