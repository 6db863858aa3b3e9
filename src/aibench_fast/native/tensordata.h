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

/* The types of a tensor's values, by RedisAI's names. */
enum tensor_dtype {
    TENSOR_FLOAT,  /* 24 random bits: uniform in [0, 1) */
    TENSOR_DOUBLE, /* 53 random bits: uniform in [0, 1) */
    TENSOR_INT8,   /* 0 to 127 */
    TENSOR_INT16,  /* 0 to 255, like all wider integers: pixels, or indices that most tables have */
    TENSOR_INT32,
    TENSOR_INT64,
    TENSOR_UINT8,
    TENSOR_UINT16,
    TENSOR_BOOL, /* 0 or 1, in one byte */
    TENSOR_FP16, /* 11 random bits: uniform in [0, 1) */
    TENSOR_BF16, /* 8 random bits: uniform in [0, 1) */
    TENSOR_UINT32,
    TENSOR_UINT64,
    TENSOR_STRINGS, /* each of its own length, see stringdata.h; never generated here */
};

/* Return the size of one value; of a string the least. */
size_t tensordata_value_bytes(enum tensor_dtype dtype);

/* Fill `data`, aligned for its values, with as many of them as fit into `bytes`. */
void tensordata_fill(void *data, size_t bytes, enum tensor_dtype dtype, uint64_t seed);

#endif
