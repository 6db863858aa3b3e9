/* Frames of HTTP/2 as a server of gRPC sends them, for the targets that read them, and the connection that they are
 * for.
 *
 * Memory: the caller's. Threads: any number, each with a text and a state of its own.
 */
#ifndef AIBENCH_FUZZ_FRAMES_H
#define AIBENCH_FUZZ_FRAMES_H

#include "fuzz.h"

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum { END_STREAM = 0x1, ACK = 0x1, END_HEADERS = 0x4, PADDED = 0x8, PRIORITISED = 0x20 };

/* Literal fields without an index, as HPACK has them: 0, the length of the name, the name, that of the value, it. */
#define STATUS_200 "\x88"
#define FIELD(name_length, name, value_length, value) "\0" name_length name value_length value
#define CONTENT_TYPE FIELD("\x0c", "content-type", "\x10", "application/grpc")
#define GRPC_STATUS_IS(digit) FIELD("\x0b", "grpc-status", "\x01", digit)
#define GRPC_MESSAGE FIELD("\x0c", "grpc-message", "\x07", "no%20ro")

#define FRAMES_FIELDS_BYTES 43 /* of a request's first piece, with their lengths */

extern const char frames_fields[];

/* Have the server greet on a new connection of the case's protocol, and begin its requests: header fields and `body`.
 */
void frames_begin(const struct fuzz_case *given, void *reader, const char *body, size_t count);

/* Take all that is to be sent. */
void frames_send(const struct protocol *protocol, void *reader);

/* Add header fields, whole or in two frames. */
void frames_add_headers(struct fuzz_text *to, uint32_t flags, uint32_t stream, const char *block, size_t bytes,
                        uint64_t *state);
#define FRAMES_ADD_HEADERS(to, flags, stream, block, state) \
    frames_add_headers(to, flags, stream, block, sizeof block - 1, state)

/* Add data in one frame or several, some of them padded. */
void frames_add_data(struct fuzz_text *to, uint32_t stream, const char *data, size_t bytes, uint64_t *state);

/* Add a frame that may come at any time, or hardly ever. */
void frames_add_other(struct fuzz_text *to, uint32_t stream, uint64_t *state);

/* Add a message of gRPC behind its prefix; a few are not as long as that says, or compressed. */
void frames_add_message(struct fuzz_text *to, const struct fuzz_text *message, uint64_t *state);

#endif
