/* RESP with RedisAI's replies. hiredis parses, and each reply is judged against the plan at once: no objects are built,
 * and only the first failure's text and, on request, one output are copied.
 *
 * Memory and threads: see protocol.h; a plan is read-only and shared. Units: bytes.
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
    REPLY_STRINGS /* only in a plan: a bulk of strings, each followed by a NUL */
};

struct expected_reply {
    enum reply_type type;
    size_t bytes;   /* of a bulk; of REPLY_STRINGS at most; a status is always OK */
    size_t strings; /* of REPLY_STRINGS, how many; they are copied in the form of stringdata.h */
};

#define REPLY_PLAN_MAX 64
#define RESP_TEXT_BYTES 64 /* beside each output, the replies to a request have so many bytes at most */

struct reply_plan {
    size_t count;
    size_t in_array; /* the last so many are the elements of one array, the reply to a DAG */
    struct expected_reply expected[REPLY_PLAN_MAX];
};

extern const struct protocol resp_protocol;

/* The version of the hiredis that is linked in, such as 1.2.0. */
const char *resp_library_version(void);

#endif
