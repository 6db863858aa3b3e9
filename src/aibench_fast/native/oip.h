/* The outputs that a reply of the Open Inference Protocol has to have, over HTTP and gRPC alike, and what is said of
 * those that differ.
 *
 * An output with open axes may have any length; it is judged by the reply's own shape.
 *
 * Memory: everything is borrowed. Units: bytes.
 * Threads: outputs are read-only and shared; one thread at a time uses a check.
 */
#ifndef AIBENCH_OIP_H
#define AIBENCH_OIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replycheck.h"
#include "tensordata.h"

#define OIP_OUTPUTS_MAX 16
#define OIP_DIMENSIONS_MAX 8
#define OIP_ANY_LENGTH (-1) /* of an axis */

struct oip_output {
    const char *name;
    const char *datatype;
    enum tensor_dtype dtype; /* the datatype, as tensordata.h names it */
    int64_t shape[OIP_DIMENSIONS_MAX]; /* OIP_ANY_LENGTH: the length may differ between replies */
    size_t dimensions;
    size_t bytes; /* of its values in binary, in the trial's reply */
};

struct oip_outputs {
    size_t count;
    struct oip_output all[OIP_OUTPUTS_MAX]; /* in the order of the request */
    size_t bytes;     /* of all outputs, in the trial's reply */
    bool has_strings; /* an output is of TENSOR_STRINGS */
    bool in_memory;   /* replies have no values: the server writes them to memory that it shares with the client */
};

/* What a reply says of an output. The texts have no NUL at their ends; one of no bytes is missing. */
struct oip_found {
    const char *name;
    size_t name_bytes;
    const char *datatype;
    size_t datatype_bytes;
    int64_t shape[OIP_DIMENSIONS_MAX]; /* the first of its lengths */
    size_t dimensions;                 /* how many there are */
    const char *odd_shape; /* what the reply has in place of a shape of whole numbers; NULL: it has one */
};

/* Judge everything but the values of an output, for which there is `room`. Return whether it is as wanted; then
 * `*values` is how many there have to be. */
bool oip_judge_found(struct replycheck *check, const struct oip_output *wanted, const struct oip_found *found,
                     size_t room, size_t *values);

/* Note what else is wrong: with the number of outputs, */
void oip_wrong_outputs(struct replycheck *check, const struct oip_outputs *wanted, size_t count);

/* an output without an end within its room, */
void oip_too_large(struct replycheck *check, const struct oip_output *wanted, size_t room);

/* the bytes of an output, */
void oip_wrong_size(struct replycheck *check, const struct oip_output *wanted, uint64_t bytes, size_t expected);

/* the number of its values, */
void oip_wrong_count(struct replycheck *check, const struct oip_output *wanted, uint64_t count, size_t expected);

/* a value that is not of its datatype, */
void oip_wrong_value(struct replycheck *check, const struct oip_output *wanted);

/* values in a reply, where they are in memory, */
void oip_unwanted_values(struct replycheck *check, const struct oip_output *wanted);

/* or a string in binary that is longer than what is left of its output. */
void oip_broken_string(struct replycheck *check, const struct oip_output *wanted);

#endif
