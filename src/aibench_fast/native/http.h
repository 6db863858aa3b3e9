/* HTTP/1.1 with the replies of the Open Inference Protocol, parsed by llhttp. The status and the outputs' names,
 * datatypes, shapes and sizes are judged. A reply whose JSON equals the trial's, byte for byte, needs no more than this
 * comparison. Any other is read by yyjson after its latency was taken; values in JSON are then converted to binary.
 *
 * An output with open axes may have any length; it is judged by the reply's own shape. An output of strings has as many
 * strings as its shape says, and they must fill it exactly.
 *
 * Memory and threads: see protocol.h; a plan is read-only and shared. A reply in JSON, or with strings, that is longer
 * than any before it on its connection gets more room when it comes.
 * Units: bytes.
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
    enum tensor_dtype dtype; /* the datatype, as tensordata.h names it */
    int64_t shape[HTTP_DIMENSIONS_MAX]; /* HTTP_ANY_LENGTH: the length may differ between replies */
    size_t dimensions;
    size_t bytes; /* of its values in binary, in the trial's reply */
};

struct http_plan {
    const char *json; /* the JSON part of the trial's reply; empty if the whole reply was JSON */
    size_t json_bytes;
    size_t output_count;
    struct http_output outputs[HTTP_OUTPUTS_MAX]; /* in the order of the request */
    size_t output_bytes;   /* of all outputs, in the trial's reply */
    size_t json_bytes_max; /* of a reply in JSON that may be longer than usual; otherwise 0 */
    bool has_strings;      /* an output is of TENSOR_STRINGS */
};

extern const struct protocol http_protocol;

/* Judge one whole reply in the way that a run does. The check is started, and its `expected` is set. Allocates and
 * frees its own memory. */
void http_judge(struct replycheck *check, const char *bytes, size_t count);

/* The version of the llhttp that is linked in. */
const char *http_library_version(void);

#endif
