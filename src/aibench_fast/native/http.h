/* HTTP/1.1 with the Open Inference Protocol's replies, as llhttp parses them: status, and the outputs' names,
 * datatypes, shapes and sizes are judged. A reply whose JSON is the trial's, byte for byte, is judged by
 * that; any other by yyjson, after its latency was taken. Values in JSON are read then too, and stand in the
 * output as they would in binary.
 *
 * An output whose axes the model leaves open may be of any length, and is judged by the reply's own shape.
 *
 * An output of strings has as many as its shape says, whose lengths end where it ends; its size is the reply's own.
 *
 * Memory and threads: see protocol.h; a plan is read-only and shared. A reply in JSON, or with strings, that is longer
 * than any before it on its connection gets more room when it comes.
 */
#ifndef AIBENCH_HTTP_H
#define AIBENCH_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"
#include "tensordata.h"

#define HTTP_OUTPUTS_MAX 16
#define HTTP_DIMENSIONS_MAX 8
#define HTTP_ANY_LENGTH (-1) /* of an axis */

struct http_output {
    const char *name;
    const char *datatype;
    enum tensor_dtype dtype; /* the same */
    int64_t shape[HTTP_DIMENSIONS_MAX]; /* HTTP_ANY_LENGTH where each reply may have another length */
    size_t dimensions;
    size_t bytes; /* of its values in binary, in the trial's reply */
};

struct http_plan {
    const char *json; /* the trial reply's JSON part; nothing where the whole reply was JSON */
    size_t json_bytes;
    size_t output_count;
    struct http_output outputs[HTTP_OUTPUTS_MAX]; /* in the order in which they are asked for */
    size_t output_bytes;   /* of all of them, in the trial's reply */
    size_t json_bytes_max; /* of a reply that is JSON, where that may be longer than usual; else 0 */
    bool has_strings;      /* an output is of TENSOR_STRINGS */
};

extern const struct protocol http_protocol;

/* Judge one reply that is here as a whole, as those of a run are judged. The check has been started, and has
 * what is expected. Allocates, and frees what it did. */
void http_judge(struct replycheck *check, const char *bytes, size_t count);

/* The version of the llhttp that is linked in. */
const char *http_library_version(void);

#endif
