/* The target for gRPC: frames of HTTP/2, with replies to FUZZ_STREAMS requests. An input's first byte says what was
 * asked, its second how the bytes are cut and whether the peer then ends; the rest are frames. */
#include "response.h"

#include <stdio.h>
#include <string.h>

#include "../../../src/aibench_fast/native/grpc.c" /* so that what the reader kept of a reply can be looked at */

#define CASE_BYTES 2
#define FRAME_BYTES_MAX 4096

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum { END_STREAM = 0x1, ACK = 0x1, END_HEADERS = 0x4, PADDED = 0x8, PRIORITISED = 0x20 };

/* Literal fields without an index, as HPACK has them: 0, the length of the name, the name, that of the value, it. */
#define STATUS_200 "\x88"
#define FIELD(name_length, name, value_length, value) "\0" name_length name value_length value
#define CONTENT_TYPE FIELD("\x0c", "content-type", "\x10", "application/grpc")
#define GRPC_STATUS_IS(digit) FIELD("\x0b", "grpc-status", "\x01", digit)
#define GRPC_MESSAGE FIELD("\x0c", "grpc-message", "\x07", "no%20ro")

const char *const fuzz_words[] = {
    "\x88", "\x8d", "\x7f", "\x80", "\xff\xff\xff\xff\x0f", "\x3f\xe1\x1f", "\x20", "HTTP/1.1 400 Bad Request\r\n",
    NULL,
};

static const char fields[] = "\x27\x00\x00\x00"
                             "\x07\x00\x04\x00:methodPOST"
                             "\x05\x00\x01\x00:path/"
                             "\x02\x00\x08\x00tetrailers"; /* 39 bytes behind their length */

static void send_all(void *reader)
{
    struct iovec *pieces;
    size_t count = 1;
    while (count > 0)
        grpc_protocol.streams->take(reader, &pieces, &count);
}

/* Have the server greet, and begin the requests. */
static void begin(const struct fuzz_case *given, void *reader)
{
    static const char greeting[] = "\0\0\0\x04\0\0\0\0\0";
    struct iovec pieces[] = {{(void *)fields, sizeof fields - 1}, {"12345678", 8}};
    size_t room;
    FUZZ_CHECK(http2_head_bytes(fields, sizeof fields - 1) == sizeof fields - 1, "the header fields are malformed");
    memcpy(grpc_protocol.room(reader, &room), greeting, sizeof greeting - 1);
    grpc_protocol.came(reader, sizeof greeting - 1);
    FUZZ_CHECK(grpc_protocol.judge(reader) == IO_DONE, "a greeting that is none");
    for (int i = 0; i < FUZZ_STREAMS; i++)
        grpc_protocol.streams->submit(reader, given->kind, pieces, 2);
    send_all(reader);
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
        .begin = begin,
        .send = send_all,
        .on_success = on_success,
    };
    fuzz_judge(&given, (const char *)bytes + CASE_BYTES, count - CASE_BYTES);
    return 0;
}

static void add_frame(struct fuzz_text *to, uint32_t type, uint32_t flags, uint32_t stream, const void *payload,
                      size_t bytes)
{
    unsigned char head[] = {
        (unsigned char)(bytes >> 16), (unsigned char)(bytes >> 8), (unsigned char)bytes, (unsigned char)type,
        (unsigned char)flags, (unsigned char)(stream >> 24), (unsigned char)(stream >> 16),
        (unsigned char)(stream >> 8), (unsigned char)stream,
    };
    fuzz_add(to, head, sizeof head);
    fuzz_add(to, payload, bytes);
}

/* Header fields, whole or in two frames. */
static void add_headers(struct fuzz_text *to, uint32_t flags, uint32_t stream, const char *block, size_t bytes,
                        uint64_t *state)
{
    size_t first = fuzz_below(state, 8) ? bytes : fuzz_below(state, bytes + 1);
    add_frame(to, HEADERS, flags | (first == bytes ? END_HEADERS : 0), stream, block, first);
    if (first < bytes)
        add_frame(to, CONTINUATION, END_HEADERS, stream, block + first, bytes - first);
}

/* Data in one frame or several, some of them padded. */
static void add_data(struct fuzz_text *to, uint32_t stream, const char *data, size_t bytes, uint64_t *state)
{
    char padded[FRAME_BYTES_MAX + 256];
    while (bytes > 0) {
        size_t part = fuzz_below(state, 2) ? bytes : 1 + fuzz_below(state, bytes), padding = fuzz_below(state, 16);
        padded[0] = (char)padding;
        memcpy(padded + 1, data, part);
        memset(padded + 1 + part, 0, padding);
        if (fuzz_below(state, 8))
            add_frame(to, DATA, 0, stream, data, part);
        else
            add_frame(to, DATA, PADDED, stream, padded, 1 + part + padding);
        data += part;
        bytes -= part;
    }
}

/* A frame that may come at any time, or hardly ever. */
static void add_other(struct fuzz_text *to, uint32_t stream, uint64_t *state)
{
    unsigned char payload[8] = {0};
    size_t most = sizeof payload;
    payload[3] = (unsigned char)fuzz_below(state, 14);
    switch (fuzz_below(state, 8)) {
    case 0: add_frame(to, PING, fuzz_below(state, 2) ? ACK : 0, 0, payload, 8); break;
    case 1: add_frame(to, SETTINGS, 0, 0, "\0\x03\0\0\0\x02", 6); break;
    case 2: add_frame(to, WINDOW_UPDATE, 0, fuzz_below(state, 2) ? stream : 0, payload, 4); break;
    case 3: add_frame(to, RST_STREAM, 0, stream, payload, 4); break;
    case 4: add_frame(to, GOAWAY, 0, 0, payload, 8); break;
    case 5: add_frame(to, PRIORITY, 0, stream, payload, 5); break;
    case 6: add_frame(to, SETTINGS, ACK, 0, "", 0); break;
    default: add_frame(to, (uint32_t)fuzz_below(state, 16), (uint32_t)fuzz_below(state, 256), stream, payload,
                       fuzz_below(state, most + 1));
    }
}
#define ADD_HEADERS(to, flags, stream, block, state) add_headers(to, flags, stream, block, sizeof block - 1, state)

static void add_reply(struct fuzz_text *to, const struct request_kind *kind, uint32_t stream, uint64_t *state)
{
    char message[RESPONSE_BYTES_MAX];
    struct fuzz_text made = {message, sizeof message, PREFIX_BYTES};
    response_add(&made, kind, state);
    size_t announced = made.count - PREFIX_BYTES + (fuzz_below(state, 32) == 0);
    memcpy(message, "\0\0\0", 3);
    message[0] = fuzz_below(state, 64) == 0;
    message[3] = (char)(announced >> 8);
    message[4] = (char)announced;
    if (fuzz_below(state, 8) == 0) {
        ADD_HEADERS(to, END_STREAM, stream, STATUS_200 CONTENT_TYPE GRPC_STATUS_IS("8") GRPC_MESSAGE, state);
        return;
    }
    ADD_HEADERS(to, 0, stream, STATUS_200 CONTENT_TYPE, state);
    if (fuzz_below(state, 8) == 0)
        add_other(to, stream, state);
    add_data(to, stream, message, made.count, state);
    if (fuzz_below(state, 8))
        ADD_HEADERS(to, END_STREAM, stream, GRPC_STATUS_IS("0"), state);
    else
        ADD_HEADERS(to, END_STREAM, stream, GRPC_STATUS_IS("5") GRPC_MESSAGE, state);
}

void fuzz_generate(struct fuzz_text *input, uint64_t *state)
{
    uint8_t head[CASE_BYTES] = {(uint8_t)fuzz_below(state, 256), (uint8_t)fuzz_below(state, 256)};
    uint32_t first = (uint32_t)fuzz_below(state, FUZZ_STREAMS);
    fuzz_add(input, head, sizeof head);
    for (uint32_t i = 0; i < FUZZ_STREAMS; i++) {
        uint32_t stream = 1 + 2 * ((first + i) % FUZZ_STREAMS);
        if (fuzz_below(state, 8) == 0)
            add_other(input, stream, state);
        if (fuzz_below(state, 8))
            add_reply(input, &response_kinds[head[0] % RESPONSE_KINDS], stream, state);
    }
}
