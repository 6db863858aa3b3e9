/* Values for generated tensors: the same for a seed on every machine, and different in each tensor.
 *
 * They come from SplitMix64 (splitmix.h). Each of its outputs is cut into as many values as it has bits for, lowest
 * bits first.
 * Memory: the caller's. Units: bytes. Nothing here fails.
 * Threads: any number, each with memory of its own.
 */
#ifndef AIBENCH_TENSORDATA_H
#define AIBENCH_TENSORDATA_H

#include <stddef.h>
#include <stdint.h>

/* The types of a tensor's values: constant, RedisAI's name, and the bytes of a value. */
#define DTYPE_LIST(X)                                                                                        \
    X(TENSOR_FLOAT, "FLOAT", 4)   /* 24 random bits: uniform in [0, 1) */                                    \
    X(TENSOR_DOUBLE, "DOUBLE", 8) /* 53 random bits: uniform in [0, 1) */                                    \
    X(TENSOR_INT8, "INT8", 1)     /* 0 to 127 */                                                             \
    X(TENSOR_INT16, "INT16", 2)   /* 0 to 255, like all wider integers: pixels, or indices that most tables have */ \
    X(TENSOR_INT32, "INT32", 4)                                                                              \
    X(TENSOR_INT64, "INT64", 8)                                                                              \
    X(TENSOR_UINT8, "UINT8", 1)                                                                              \
    X(TENSOR_UINT16, "UINT16", 2)                                                                            \
    X(TENSOR_BOOL, "BOOL", 1)     /* 0 or 1 */                                                               \
    X(TENSOR_FP16, "FP16", 2)     /* 11 random bits: uniform in [0, 1) */                                    \
    X(TENSOR_BF16, "BF16", 2)     /* 8 random bits: uniform in [0, 1) */                                     \
    X(TENSOR_UINT32, "UINT32", 4)                                                                            \
    X(TENSOR_UINT64, "UINT64", 8)                                                                            \
    X(TENSOR_STRINGS, "BYTES", 4) /* each of its own length, at least 4 bytes, see stringdata.h; never generated here */

#define DTYPE_CONSTANT(constant, name, bytes) constant,
#define DTYPE_ONE(constant, name, bytes) +1

enum tensor_dtype { DTYPE_LIST(DTYPE_CONSTANT) };
enum { TENSOR_DTYPES = DTYPE_LIST(DTYPE_ONE) };

extern const char *const tensor_dtype_names[TENSOR_DTYPES]; /* in the order of the list */

/* Return the size of one value; of a string the least. */
size_t tensordata_value_bytes(enum tensor_dtype dtype);

/* Fill `data`, aligned for its values, with as many of them as fit into `bytes`. */
void tensordata_fill(void *data, size_t bytes, enum tensor_dtype dtype, uint64_t seed);

#endif
