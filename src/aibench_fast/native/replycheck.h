/* What was found of the replies to one request, whatever its protocol: a protocol judges, and notes here.
 *
 * Memory: the caller owns it; `plan` and `output` are borrowed. Threads: one at a time.
 */
#ifndef AIBENCH_REPLYCHECK_H
#define AIBENCH_REPLYCHECK_H

#include <stddef.h>

#include "errstr.h"
#include "failures.h"

struct request_kind;

struct replycheck {
    const struct request_kind *expected; /* of the kind that was asked; NULL: of a greeting */
    enum failure_kind kind; /* FAILURE_NONE while every reply is as expected */
    errstr_t message;
    char *output;           /* where to copy the output to, or NULL */
    size_t done;            /* a protocol's own: how far it is */
    size_t first_bytes;     /* of a success: the size of the first output */
};

/* Forget the last request; `output` is NULL or has room for the most that the kind's outputs may have. */
void replycheck_start(struct replycheck *check, char *output);

/* Note a failure unless an earlier one is noted already: the first is the cause. Control characters
 * become spaces. */
void replycheck_fail(struct replycheck *check, enum failure_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
