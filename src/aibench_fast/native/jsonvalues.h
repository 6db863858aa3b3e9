/* The values of an output in JSON, as the bytes that they are in binary.
 *
 * Memory: the caller's. Units: values. Threads: any number, of documents of their own.
 */
#ifndef AIBENCH_JSONVALUES_H
#define AIBENCH_JSONVALUES_H

#include <stddef.h>
#include <stdint.h>

#include "tensordata.h"

struct yyjson_val;

/* Read the values of `data`, an array that may be nested, and write the first `most` to `out` unless that is
 * NULL. A float may be null, which is NaN. Returns how many there are; -1 where one is none of `dtype`. */
int64_t jsonvalues_read(struct yyjson_val *data, enum tensor_dtype dtype, char *out, size_t most);

/* The same of strings, of which as many are written, as in stringdata.h, as there is `room` for in bytes; `*bytes` is what
 * all of them take. */
int64_t jsonvalues_read_strings(struct yyjson_val *data, char *out, size_t room, size_t *bytes);

#endif
