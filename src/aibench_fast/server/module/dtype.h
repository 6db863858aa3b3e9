/* The element types of tensors, under RedisAI's names. */
#ifndef AIBENCH_DTYPE_H
#define AIBENCH_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum DType {
    DTYPE_FLOAT,
    DTYPE_DOUBLE,
    DTYPE_INT8,
    DTYPE_INT16,
    DTYPE_INT32,
    DTYPE_INT64,
    DTYPE_UINT8,
    DTYPE_UINT16,
    DTYPE_BOOL,
    DTYPE_STRING, /* NUL-terminated strings, one after another */
    DTYPE_COUNT
} DType;

/* Bytes of one element; of a STRING's, the least: its terminating NUL. */
size_t dtype_bytes(DType dtype);

/* RedisAI's word for the type: a constant string. */
const char *dtype_name(DType dtype);

/* The type of a name in any case; false where there is none. */
bool dtype_from_name(const char *name, DType *dtype);

bool dtype_is_float(DType dtype);

/* Writes a number as element `index` of `data`; false where it is negative or too large for an
 * integer type. */
bool dtype_store_integer(DType dtype, void *data, size_t index, int64_t value);
void dtype_store_double(DType dtype, void *data, size_t index, double value);

/* Element `index` of `data`, which need not be aligned. */
int64_t dtype_load_integer(DType dtype, const void *data, size_t index);
double dtype_load_double(DType dtype, const void *data, size_t index);

#endif
