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

#include "protocol.h"

extern const struct protocol grpc_protocol;

#endif
