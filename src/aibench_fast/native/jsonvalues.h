/* Converts the values of an output in JSON to their binary form.
 *
 * Memory: the caller's. Units: values. Threads: any number, each with a document of its own.
 */
#ifndef AIBENCH_JSONVALUES_H
#define AIBENCH_JSONVALUES_H

#include <stddef.h>
#include <stdint.h>

#include "tensordata.h"

struct yyjson_val;

/* Read the values of `data`, an array that may be nested, and write the first `most` to `out`, unless that is NULL. A
 * float may be null, which is NaN. Return the number of values; -1 if one is not of `dtype`. */
int64_t jsonvalues_read(struct yyjson_val *data, enum tensor_dtype dtype, char *out, size_t most);

/* The same for strings: write those that fit into `room` bytes, in the form of stringdata.h. `*bytes` is the size of
 * all of them. */
int64_t jsonvalues_read_strings(struct yyjson_val *data, char *out, size_t room, size_t *bytes);

#endif
