/* HTTP/1.1 with the Open Inference Protocol's replies, as llhttp parses them: status, and the outputs' names,
 * datatypes, shapes and sizes are judged. A reply whose JSON is the trial's, byte for byte, is judged by
 * that; any other by yyjson, after its latency was taken. Values in JSON are read then too, and stand in the
 * output as they would in binary.
 *
 * Memory and threads: see protocol.h; a plan is read-only and shared.
 */
#ifndef AIBENCH_HTTP_H
#define AIBENCH_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "protocol.h"
#include "tensordata.h"

#define HTTP_OUTPUTS_MAX 16
#define HTTP_DIMENSIONS_MAX 8

struct http_output {
    const char *name;
    const char *datatype;
    enum tensor_dtype dtype; /* the same */
    int64_t shape[HTTP_DIMENSIONS_MAX];
    size_t dimensions;
    size_t bytes; /* of its values in binary */
};

struct http_plan {
    const char *json; /* the trial reply's JSON part; nothing where the whole reply was JSON */
    size_t json_bytes;
    size_t output_count;
    struct http_output outputs[HTTP_OUTPUTS_MAX]; /* in the order in which they are asked for */
};

extern const struct protocol http_protocol;

/* The version of the llhttp that is linked in. */
const char *http_library_version(void);

#endif
