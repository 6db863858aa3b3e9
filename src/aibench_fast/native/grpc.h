/* gRPC with the replies of the Open Inference Protocol: a request is a stream of an HTTP/2 connection. The reply's
 * message is kept until the stream ends, and is judged after its latency was taken.
 *
 * A connection begins with a greeting, that of http2.h; the server's SETTINGS are its one reply.
 *
 * Memory and threads: see protocol.h. A message that is longer than any before it in its slot gets more room when it
 * comes.
 * Units: bytes.
 */
#ifndef AIBENCH_GRPC_H
#define AIBENCH_GRPC_H

#include "grpcstatus.h"
#include "http2.h"
#include "protocol.h"

extern const struct protocol grpc_protocol;

/* A reply that is not judged yet. */
struct grpc_answer {
    int http_status;
    int status;  /* grpc-status, or GRPC_NO_STATUS */
    errstr_t words; /* grpc-message */
    bool is_refused; /* the server did not process the request, which may be sent again */
    const char *message; /* of status OK; in the reader until the next request */
    size_t message_bytes;
};

/* Read the reply that `judge` returned IO_DONE for last, instead of settling it. If it is not one of gRPC, the check
 * says why. `has_several`: the reply is a stream of messages, which the answer has with their prefixes, as they came. */
void grpc_answered(void *reader, bool has_several, struct grpc_answer *answer);

/* ---- Calls that go on: a stream of messages each way ---- */

/* Hand over each message of a reply as it comes, up to its end, instead of keeping the last one. Before the first
 * request; a request then goes on, and messages may be appended. */
void grpc_hand_over(void *reader, void (*message)(void *owner, const char *bytes, size_t count), void *owner);

/* Append a message to the call in a slot, with replies of this kind. */
void grpc_append(void *reader, uint32_t slot, const struct request_kind *kind, const struct iovec *pieces, size_t count);

/* Return how far the call in a slot came. */
struct http2_progress grpc_progress(const void *reader, uint32_t slot);

/* Note why a call ended that goes on, by the check; `judge` returned IO_DONE for it last. */
void grpc_judge_end(void *reader);

#endif
