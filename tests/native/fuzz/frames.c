#include "frames.h"

#include <string.h>

#include "http2.h"

#define PREFIX_BYTES 5
#define FRAME_BYTES_MAX (32 * 1024)

const char *const fuzz_words[] = {
    "\x88", "\x8d", "\x7f", "\x80", "\xff\xff\xff\xff\x0f", "\x3f\xe1\x1f", "\x20", "HTTP/1.1 400 Bad Request\r\n",
    NULL,
};

const char frames_fields[] = "\x27\x00\x00\x00"
                               "\x07\x00\x04\x00:methodPOST"
                               "\x05\x00\x01\x00:path/"
                               "\x02\x00\x08\x00tetrailers"; /* 39 bytes behind their length */

void frames_send(const struct protocol *protocol, void *reader)
{
    struct iovec *pieces;
    size_t count = 1;
    while (count > 0)
        protocol->streams->take(reader, &pieces, &count);
}

void frames_begin(const struct fuzz_case *given, void *reader, const char *body, size_t count)
{
    static const char greeting[] = "\0\0\0\x04\0\0\0\0\0";
    const struct protocol *protocol = given->protocol;
    char first[FRAMES_FIELDS_BYTES + 256];
    struct iovec pieces[] = {{first, FRAMES_FIELDS_BYTES + count}, {"", 0}};
    size_t room;
    FUZZ_CHECK(http2_head_bytes(frames_fields, FRAMES_FIELDS_BYTES) == FRAMES_FIELDS_BYTES,
               "the header fields are malformed");
    memcpy(first, frames_fields, FRAMES_FIELDS_BYTES);
    memcpy(first + FRAMES_FIELDS_BYTES, body, count);
    memcpy(protocol->room(reader, &room), greeting, sizeof greeting - 1);
    protocol->came(reader, sizeof greeting - 1);
    FUZZ_CHECK(protocol->judge(reader) == IO_DONE, "a greeting that is none");
    for (int i = 0; i < FUZZ_STREAMS; i++)
        protocol->streams->submit(reader, given->kind, pieces, 2);
    frames_send(protocol, reader);
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

void frames_add_headers(struct fuzz_text *to, uint32_t flags, uint32_t stream, const char *block, size_t bytes,
                        uint64_t *state)
{
    size_t first = fuzz_below(state, 8) ? bytes : fuzz_below(state, bytes + 1);
    add_frame(to, HEADERS, flags | (first == bytes ? END_HEADERS : 0), stream, block, first);
    if (first < bytes)
        add_frame(to, CONTINUATION, END_HEADERS, stream, block + first, bytes - first);
}

void frames_add_data(struct fuzz_text *to, uint32_t stream, const char *data, size_t bytes, uint64_t *state)
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

void frames_add_other(struct fuzz_text *to, uint32_t stream, uint64_t *state)
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

void frames_add_message(struct fuzz_text *to, const struct fuzz_text *message, uint64_t *state)
{
    size_t announced = message->count + (fuzz_below(state, 32) == 0);
    char prefix[PREFIX_BYTES] = {fuzz_below(state, 64) == 0, 0, 0, (char)(announced >> 8), (char)announced};
    fuzz_add(to, prefix, sizeof prefix);
    fuzz_add(to, message->bytes, message->count);
}
