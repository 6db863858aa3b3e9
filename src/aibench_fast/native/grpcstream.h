/* Streams of inferences: Triton's ModelStreamInfer. One call a connection goes on for all requests, each of which is a
 * message; replies are messages too, and say by their id which request they belong to. A decoupled model answers a
 * request several times, or not at all; its last message says so (`triton_final_response`), and may have no outputs.
 *
 * A request's first text has its id, GRPC_ID_BYTES long, `id_at` of its kind behind the header fields; if that text has
 * nothing else, the piece behind it, `id_at` from its beginning on. What comes before the id is copied for each request
 * outstanding, with an id of its own, and with it the rest of a first text.
 *
 * The latency of a request ends with its last message. All replies but the last are judged when they come; the last one
 * after its latency was taken.
 *
 * A request that is not answered in time leaves the call to the others, unless a part of it is not sent yet. If the call
 * ends, all requests outstanding end as it does, and the next request begins another one.
 *
 * Memory and threads: see protocol.h and grpc.h.
 */
#ifndef AIBENCH_GRPCSTREAM_H
#define AIBENCH_GRPCSTREAM_H

#include "protocol.h"

#define GRPC_ID_BYTES 16 /* digits */

extern const struct protocol grpc_stream_protocol;

#endif
