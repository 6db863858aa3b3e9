#include "jsonvalues.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include <yyjson.h>

#include "half.h"
#include "stringdata.h"

#define DEPTH_MAX 16 /* of nested arrays: no output has more dimensions */

struct reading {
    enum tensor_dtype dtype;
    size_t value_bytes;
    char *out; /* or NULL */
    size_t most; /* values; for strings, bytes */
    int64_t count;
    size_t bytes; /* of strings */
};

static bool is_float(enum tensor_dtype dtype)
{
    return dtype == TENSOR_FLOAT || dtype == TENSOR_DOUBLE || dtype == TENSOR_FP16;
}

static bool is_signed(enum tensor_dtype dtype)
{
    return dtype == TENSOR_INT8 || dtype == TENSOR_INT16 || dtype == TENSOR_INT32 ||
           dtype == TENSOR_INT64;
}

/* Write the bytes of a float; return whether it is one. */
static bool float_bytes(const struct reading *r, yyjson_val *value, char *bytes)
{
    double number = yyjson_is_null(value) ? NAN : yyjson_get_num(value);
    float single = (float)number;
    uint16_t half = half_of_double(number);
    const void *found = r->dtype == TENSOR_FLOAT  ? (const void *)&single
                        : r->dtype == TENSOR_FP16 ? (const void *)&half
                                                  : (const void *)&number;
    memcpy(bytes, found, r->value_bytes);
    return yyjson_is_num(value) || yyjson_is_null(value);
}

/* The same for a boolean, which some servers write as a number. */
static bool bool_bytes(yyjson_val *value, char *bytes)
{
    bool is_number = yyjson_is_uint(value) && yyjson_get_uint(value) <= 1;
    *bytes = yyjson_is_true(value) || (is_number && yyjson_get_uint(value) == 1);
    return yyjson_is_bool(value) || is_number;
}

/* The same for an integer. */
static bool whole_bytes(const struct reading *r, yyjson_val *value, char *bytes)
{
    uint64_t whole = yyjson_get_uint(value); /* a negative one has the same bits */
    bool is_negative = yyjson_is_sint(value) && yyjson_get_sint(value) < 0;
    unsigned bits = (unsigned)r->value_bytes * CHAR_BIT - is_signed(r->dtype);
    memcpy(bytes, &whole, r->value_bytes);
    if (is_negative)
        return is_signed(r->dtype) && ~whole >> bits == 0;
    return yyjson_is_int(value) && (bits == 64 || whole >> bits == 0);
}

static bool read_string(struct reading *r, yyjson_val *value)
{
    size_t begin = r->bytes;
    r->bytes += STRING_LENGTH_BYTES + yyjson_get_len(value);
    if (r->out && r->bytes <= r->most && yyjson_is_str(value))
        stringdata_put(r->out + begin, yyjson_get_str(value), yyjson_get_len(value));
    r->count++;
    return yyjson_is_str(value);
}

static bool read_value(struct reading *r, yyjson_val *value)
{
    if (r->dtype == TENSOR_STRINGS)
        return read_string(r, value);
    char bytes[sizeof(uint64_t)];
    bool well = is_float(r->dtype)          ? float_bytes(r, value, bytes)
                : r->dtype == TENSOR_BOOL ? bool_bytes(value, bytes)
                                          : whole_bytes(r, value, bytes);
    if (r->out && (size_t)r->count < r->most)
        memcpy(r->out + (size_t)r->count * r->value_bytes, bytes, r->value_bytes);
    r->count++;
    return well;
}

static bool read_array(struct reading *r, yyjson_val *data, int depth)
{
    yyjson_arr_iter values;
    yyjson_val *value;
    yyjson_arr_iter_init(data, &values);
    while ((value = yyjson_arr_iter_next(&values)) != NULL) {
        bool well = yyjson_is_arr(value) ? depth < DEPTH_MAX && read_array(r, value, depth + 1)
                                         : read_value(r, value);
        if (!well)
            return false;
    }
    return true;
}

int64_t jsonvalues_read(yyjson_val *data, enum tensor_dtype dtype, char *out, size_t most)
{
    struct reading r = {dtype, tensordata_value_bytes(dtype), out, most, 0, 0};
    return read_array(&r, data, 1) ? r.count : -1;
}

int64_t jsonvalues_read_strings(yyjson_val *data, char *out, size_t room, size_t *bytes)
{
    struct reading r = {.dtype = TENSOR_STRINGS, .out = out, .most = room};
    bool well = read_array(&r, data, 1);
    *bytes = r.bytes;
    return well ? r.count : -1;
}
