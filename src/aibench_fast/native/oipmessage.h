/* Judges a ModelInferResponse, the reply of the Open Inference Protocol over gRPC: the outputs' names, datatypes,
 * shapes and sizes. Their values are raw, or in contents that are typed; these are converted to binary.
 *
 * Fields may come in any order and several times, as protocol buffers allow; unknown ones are skipped.
 *
 * Memory: the caller's; nothing is allocated. Units: bytes.
 * Threads: one thread at a time uses a check.
 */
#ifndef AIBENCH_OIPMESSAGE_H
#define AIBENCH_OIPMESSAGE_H

#include <stddef.h>

#include "replycheck.h"

/* Judge a whole message by the `grpc` outputs of the check's kind, whose values go to the check's `output`. */
void oipmessage_judge(struct replycheck *check, const char *message, size_t bytes);

#endif
