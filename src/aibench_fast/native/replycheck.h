/* What a protocol found in the replies to one request.
 *
 * Memory: the caller owns it; `expected` and `output` are borrowed. Units: bytes. Threads: one at a time.
 */
#ifndef AIBENCH_REPLYCHECK_H
#define AIBENCH_REPLYCHECK_H

#include <stddef.h>

#include "errstr.h"
#include "failures.h"

struct request_kind;

struct replycheck {
    const struct request_kind *expected; /* the kind of the request; NULL: a greeting */
    enum failure_kind kind; /* FAILURE_NONE while every reply is as expected */
    errstr_t message;       /* of a failure */
    char *output;           /* where to copy the output to, or NULL */
    size_t done;            /* for the protocol: its progress */
    size_t first_bytes;     /* of a success: the size of the first output */
};

/* Begin with a new request; `output` is NULL or has room for output_bytes_max of its kind. */
void replycheck_start(struct replycheck *check, char *output);

/* Note a failure, unless one is noted already: the first one is the cause. Control characters become spaces. */
void replycheck_fail(struct replycheck *check, enum failure_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
