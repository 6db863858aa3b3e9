#include "dtype.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    size_t bytes;
    int64_t most; /* of the integer types, of numbers that are written out; the least is 0 */
} DTYPES[DTYPE_COUNT] = {
    [DTYPE_FLOAT] = {"FLOAT", 4, 0},
    [DTYPE_DOUBLE] = {"DOUBLE", 8, 0},
    [DTYPE_INT8] = {"INT8", 1, INT8_MAX},
    [DTYPE_INT16] = {"INT16", 2, INT16_MAX},
    [DTYPE_INT32] = {"INT32", 4, INT32_MAX},
    [DTYPE_INT64] = {"INT64", 8, INT64_MAX},
    [DTYPE_UINT8] = {"UINT8", 1, UINT8_MAX},
    [DTYPE_UINT16] = {"UINT16", 2, UINT16_MAX},
    [DTYPE_BOOL] = {"BOOL", 1, 1},
    [DTYPE_STRING] = {"STRING", 1, 0},
};

size_t dtype_bytes(DType dtype) { return DTYPES[dtype].bytes; }

const char *dtype_name(DType dtype) { return DTYPES[dtype].name; }

bool dtype_is_float(DType dtype) { return dtype == DTYPE_FLOAT || dtype == DTYPE_DOUBLE; }

bool dtype_from_name(const char *name, DType *dtype)
{
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (strcasecmp(name, DTYPES[i].name) == 0) {
            *dtype = (DType)i;
            return true;
        }
    return false;
}

/* Elements are copied through memcpy because a tensor's data may start at any address: it can lie
 * inside the string that the client sent. */
#define STORE(type)                                                                                \
    do {                                                                                           \
        type element = (type)value;                                                                \
        memcpy((char *)data + index * sizeof(element), &element, sizeof(element));                 \
    } while (0)

bool dtype_store_integer(DType dtype, void *data, size_t index, int64_t value)
{
    /* RedisAI takes no negative number here, not even for a signed type; as BLOB it does. */
    if (value < 0 || value > DTYPES[dtype].most)
        return false;
    switch (DTYPES[dtype].bytes) {
    case 1: STORE(uint8_t); break;
    case 2: STORE(uint16_t); break;
    case 4: STORE(uint32_t); break;
    default: STORE(uint64_t); break;
    }
    return true;
}

void dtype_store_double(DType dtype, void *data, size_t index, double value)
{
    if (dtype == DTYPE_FLOAT)
        STORE(float);
    else
        STORE(double);
}
#undef STORE

#define LOAD(type, result)                                                                         \
    do {                                                                                           \
        type element;                                                                              \
        memcpy(&element, (const char *)data + index * sizeof(element), sizeof(element));           \
        return (result)element;                                                                    \
    } while (0)

int64_t dtype_load_integer(DType dtype, const void *data, size_t index)
{
    switch (dtype) {
    case DTYPE_INT8: LOAD(int8_t, int64_t);
    case DTYPE_INT16: LOAD(int16_t, int64_t);
    case DTYPE_INT32: LOAD(int32_t, int64_t);
    case DTYPE_UINT16: LOAD(uint16_t, int64_t);
    case DTYPE_UINT8:
    case DTYPE_BOOL: LOAD(uint8_t, int64_t);
    default: LOAD(int64_t, int64_t);
    }
}

double dtype_load_double(DType dtype, const void *data, size_t index)
{
    if (dtype == DTYPE_FLOAT)
        LOAD(float, double);
    LOAD(double, double);
}
#undef LOAD
