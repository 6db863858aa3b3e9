#include "tensordata.h"

#include <string.h>

#include "splitmix.h"

#define WORD_BITS 64

/* Define a function that fills `count` values. Each is `expression` of `random`, whose lowest `bits` bits are the next
 * ones of a word. Whole words have a function of their own, which the compiler unrolls. */
#define DEFINE_FILL(name, type, bits, expression)                                                  \
    static inline void name##_from(type *values, size_t count, uint64_t word)                      \
    {                                                                                              \
        for (size_t i = 0; i < count; i++) {                                                       \
            uint64_t random = word >> i * (bits);                                                  \
            values[i] = (type)(expression);                                                        \
        }                                                                                          \
    }                                                                                              \
    static void name(type *values, size_t count, uint64_t seed)                                    \
    {                                                                                              \
        const size_t per_word = WORD_BITS / (bits);                                                \
        for (; count >= per_word; count -= per_word, values += per_word)                           \
            name##_from(values, per_word, splitmix_next(&seed));                                       \
        name##_from(values, count, splitmix_next(&seed));                                              \
    }

DEFINE_FILL(fill_float, float, 32, (float)((uint32_t)random >> 8) * 0x1p-24f)
DEFINE_FILL(fill_double, double, 64, (double)(random >> 11) * 0x1p-53)
DEFINE_FILL(fill_int8, int8_t, 8, random & INT8_MAX)
DEFINE_FILL(fill_8_bits, uint8_t, 8, random & UINT8_MAX)
DEFINE_FILL(fill_16_bits, uint16_t, 8, random & UINT8_MAX)
DEFINE_FILL(fill_32_bits, uint32_t, 8, random & UINT8_MAX)
DEFINE_FILL(fill_64_bits, uint64_t, 8, random & UINT8_MAX)
/* A float of so few random bits has all of them in its upper half. */
static uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* The value is 0, or from 2^-11 to below 1, so that its exponent needs no check. */
static uint16_t half_of(float value)
{
    uint32_t bits = float_bits(value);
    return value == 0 ? 0 : (uint16_t)((((bits >> 23) - 112) << 10) | ((bits >> 13) & 0x3ff));
}

DEFINE_FILL(fill_fp16, uint16_t, 16, half_of((float)(random & 0x7ff) * 0x1p-11f))
DEFINE_FILL(fill_bf16, uint16_t, 16, float_bits((float)(random & 0xff) * 0x1p-8f) >> 16)
DEFINE_FILL(fill_bool, uint8_t, 8, random & 1)

#define DTYPE_NAME(constant, name, bytes) name,
#define DTYPE_BYTES(constant, name, bytes) bytes,

const char *const tensor_dtype_names[] = {DTYPE_LIST(DTYPE_NAME)};

size_t tensordata_value_bytes(enum tensor_dtype dtype)
{
    static const size_t value_bytes[] = {DTYPE_LIST(DTYPE_BYTES)};
    return value_bytes[dtype];
}

void tensordata_fill(void *data, size_t bytes, enum tensor_dtype dtype, uint64_t seed)
{
    switch (dtype) {
    case TENSOR_FLOAT: fill_float(data, bytes / sizeof(float), seed); break;
    case TENSOR_DOUBLE: fill_double(data, bytes / sizeof(double), seed); break;
    case TENSOR_INT8: fill_int8(data, bytes, seed); break;
    case TENSOR_UINT8: fill_8_bits(data, bytes, seed); break;
    /* The sign bit is never set, so that these serve the signed types too. */
    case TENSOR_INT16:
    case TENSOR_UINT16: fill_16_bits(data, bytes / sizeof(uint16_t), seed); break;
    case TENSOR_UINT32:
    case TENSOR_INT32: fill_32_bits(data, bytes / sizeof(uint32_t), seed); break;
    case TENSOR_UINT64:
    case TENSOR_INT64: fill_64_bits(data, bytes / sizeof(uint64_t), seed); break;
    case TENSOR_BOOL: fill_bool(data, bytes, seed); break;
    case TENSOR_FP16: fill_fp16(data, bytes / sizeof(uint16_t), seed); break;
    case TENSOR_BF16: fill_bf16(data, bytes / sizeof(uint16_t), seed); break;
    case TENSOR_STRINGS: break;
    }
}
