/* RESP, as RedisAI speaks it: the replies to one request are judged against what its commands answer, as
 * hiredis parses them; nothing is built and nothing copied but the first failure's text and, when asked, one
 * output.
 *
 * Memory and threads: see protocol.h; a plan is read-only and shared.
 */
#ifndef AIBENCH_RESP_H
#define AIBENCH_RESP_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol.h"

enum reply_type {
    REPLY_STATUS,
    REPLY_ERROR,
    REPLY_BULK,
    REPLY_INTEGER,
    REPLY_NIL,
    REPLY_ARRAY,
    REPLY_OTHER,
    REPLY_STRINGS /* in a plan alone: a bulk of strings, each with a NUL behind it */
};

struct expected_reply {
    enum reply_type type;
    size_t bytes;   /* of a bulk, or the most of one of strings; a status is always OK */
    size_t strings; /* how many, of strings; they are copied as in stringdata.h */
};

#define REPLY_PLAN_MAX 64
#define RESP_TEXT_BYTES 64 /* what a request's replies have beside the outputs, for each of these */

struct reply_plan {
    size_t count;
    size_t in_array; /* so many, the last ones, are the elements of one array, as a DAG answers */
    struct expected_reply expected[REPLY_PLAN_MAX];
};

extern const struct protocol resp_protocol;

/* The version of the hiredis that is linked in, such as 1.2.0. */
const char *resp_library_version(void);

#endif
