/* Replies of the Open Inference Protocol over gRPC, right and nearly right, for the targets that read them.
 *
 * Memory: the caller's. Threads: any number, each with a text and a state of its own.
 */
#ifndef AIBENCH_FUZZ_RESPONSE_H
#define AIBENCH_FUZZ_RESPONSE_H

#include "fuzz.h"

#define RESPONSE_KINDS 5
#define RESPONSE_BYTES_MAX 2048

extern const struct request_kind response_kinds[RESPONSE_KINDS];

/* Add a ModelInferResponse to a request of the kind; one in four is not as the kind has it. */
void response_add(struct fuzz_text *to, const struct request_kind *kind, uint64_t *state);

/* Check the outputs of a message that was judged right: as many bytes as the kind allows, and from the message. */
void response_check(const struct request_kind *kind, const struct replycheck *check, const char *message, size_t bytes,
                    const char *output);

#endif
