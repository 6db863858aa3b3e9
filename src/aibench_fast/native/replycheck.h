/* Judges the replies to one request against what its commands answer, as they are parsed; builds
 * nothing and copies nothing but the first failure's text and, when asked, one output.
 *
 * Memory: the caller owns every struct; a plan must outlive the checks that point to it.
 * Threads: one thread at a time uses a check; a plan is read-only and shared.
 */
#ifndef AIBENCH_REPLYCHECK_H
#define AIBENCH_REPLYCHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "errstr.h"
#include "failures.h"

enum reply_type {
    REPLY_STATUS,
    REPLY_ERROR,
    REPLY_BULK,
    REPLY_INTEGER,
    REPLY_NIL,
    REPLY_ARRAY,
    REPLY_OTHER
};

struct expected_reply {
    enum reply_type type;
    size_t bytes; /* of a bulk; a status is always OK */
};

#define REPLY_PLAN_MAX 16

struct reply_plan {
    bool in_array; /* the replies are the elements of one array, as a DAG answers */
    size_t count;
    struct expected_reply expected[REPLY_PLAN_MAX];
};

struct replycheck {
    const struct reply_plan *plan;
    size_t done;            /* whole top-level replies so far */
    enum failure_kind kind; /* FAILURE_NONE while every reply is as expected */
    errstr_t message;
    char *output;           /* where to copy the first bulk to, or NULL */
};

/* Forget the last request; `output` is NULL or has room for the plan's bulk. */
void replycheck_start(struct replycheck *check, char *output);

/* A reply that has no elements. `depth` 0 is the top level; `index` is the place in its array. */
void replycheck_leaf(struct replycheck *check, int depth, size_t index, enum reply_type type,
                     const char *text, size_t bytes);

/* The head of an array of `elements`; its elements follow. */
void replycheck_array(struct replycheck *check, int depth, size_t index, size_t elements);

/* A top-level reply is whole. Returns true when it was the request's last. */
bool replycheck_reply_done(struct replycheck *check);

/* Note a failure unless an earlier one is noted already: the first is the cause. */
void replycheck_fail(struct replycheck *check, enum failure_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
