/* Calls of gRPC, one after the other on a connection of their own: what a server is asked before and after a run.
 *
 * A caller waits in slices, so that it can be interrupted: grpccall_go_on waits for `wait_ns` at most, and is called
 * again while it returns IO_AGAIN.
 *
 * Memory: grpccall_open allocates, grpccall_close frees. What a call is given is borrowed until it has ended; its
 * answer stays until the next call.
 * Units: bytes; times in nanoseconds. Return codes: enum io_status.
 * Threads: one at a time uses a channel.
 */
#ifndef AIBENCH_GRPCCALL_H
#define AIBENCH_GRPCCALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errstr.h"
#include "grpc.h"
#include "iostatus.h"
#include "transport.h"

struct grpccall;

/* Begin to connect to an endpoint, which must outlive the channel. Return NULL with the reason in `errstr`. */
struct grpccall *grpccall_open(const struct endpoint *endpoint, errstr_t errstr);

/* Begin a call, by its header fields as http2.h has them, and its message without a prefix. The answer has a message of
 * `most_bytes` at most, or with `has_several` several, each behind its prefix. IO_DONE: begun; IO_FAILED: the header
 * fields are malformed, or too many. */
enum io_status grpccall_begin(struct grpccall *c, const char *fields, size_t fields_bytes, const char *message,
                              size_t message_bytes, size_t most_bytes, bool has_several);

/* Go on with what was begun, connecting or a call. IO_DONE: that is complete. IO_FAILED: grpccall_error explains it,
 * and the channel can only be closed. */
enum io_status grpccall_go_on(struct grpccall *c, int64_t wait_ns);

/* Return whether no call can begin any more: the server is about to close the connection, or has. */
bool grpccall_is_over(struct grpccall *c);

/* Return the answer to the call that is complete. */
const struct grpc_answer *grpccall_answer(const struct grpccall *c);

const char *grpccall_error(const struct grpccall *c);

void grpccall_close(struct grpccall *c);

#endif
