#include "tensor.h"

#include <stdio.h>
#include <string.h>

int tensor_measure(DType dtype, Shape shape, size_t *bytes, Error *error)
{
    size_t total = dtype_bytes(dtype);
    for (size_t i = 0; i < shape.rank; i++) {
        if (shape.dims[i] < 1)
            return error_set(error, "ERR invalid or negative value found in tensor shape");
        if ((uint64_t)shape.dims[i] > TENSOR_MAX_BYTES / total)
            return error_set(error, "ERR tensor of more than %zu bytes: make it smaller",
                             TENSOR_MAX_BYTES);
        total *= (size_t)shape.dims[i];
    }
    *bytes = total;
    return REDISMODULE_OK;
}

static int check_strings(const char *data, size_t bytes, size_t expected, Error *error)
{
    size_t found = 0;
    for (size_t i = 0; i < bytes; i++)
        found += data[i] == '\0';
    if (found != expected || bytes == 0 || data[bytes - 1] != '\0')
        return error_set(error, "ERR Number of string elements in data blob does not match tensor "
                                "length");
    return REDISMODULE_OK;
}

int tensor_check_data(DType dtype, Shape shape, const char *data, size_t bytes, Error *error)
{
    size_t expected;
    if (tensor_measure(dtype, shape, &expected, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    if (dtype == DTYPE_STRING)
        return check_strings(data, bytes, expected, error);
    if (bytes != expected)
        return error_set(error,
                         "ERR data length does not match tensor shape and type: %zu bytes were "
                         "given, %zu are needed",
                         bytes, expected);
    if (dtype == DTYPE_BOOL)
        for (size_t i = 0; i < bytes; i++)
            if (data[i] != 0 && data[i] != 1)
                return error_set(error, "ERR BOOL tensor elements must be 0 or 1");
    return REDISMODULE_OK;
}

Tensor *tensor_create(DType dtype, Shape shape, Blob blob)
{
    Tensor *tensor = RedisModule_Alloc(sizeof(*tensor) + shape.rank * sizeof(tensor->dims[0]));
    atomic_init(&tensor->references, 1);
    tensor->dtype = dtype;
    if (shape.rank)
        memcpy(tensor->dims, shape.dims, shape.rank * sizeof(tensor->dims[0]));
    tensor->shape = (Shape){shape.rank, tensor->dims};
    tensor->blob = blob;
    return tensor;
}

Tensor *tensor_retain(Tensor *tensor)
{
    atomic_fetch_add_explicit(&tensor->references, 1, memory_order_relaxed);
    return tensor;
}

void tensor_release(Tensor *tensor)
{
    if (!tensor || atomic_fetch_sub_explicit(&tensor->references, 1, memory_order_acq_rel) != 1)
        return;
    blob_free(&tensor->blob);
    RedisModule_Free(tensor);
}

size_t tensor_element_count(const Tensor *tensor)
{
    size_t count = 1;
    for (size_t i = 0; i < tensor->shape.rank; i++)
        count *= (size_t)tensor->dims[i];
    return count;
}

int64_t tensor_rows(const Tensor *tensor) { return tensor->shape.rank ? tensor->dims[0] : 1; }

bool tensor_rows_match(const Tensor *a, const Tensor *b)
{
    size_t rank = a->shape.rank;
    return rank > 0 && rank == b->shape.rank && a->dtype == b->dtype &&
           memcmp(a->dims + 1, b->dims + 1, (rank - 1) * sizeof(a->dims[0])) == 0;
}

char *shape_format(Shape shape, char *text, size_t bytes)
{
    size_t used = (size_t)snprintf(text, bytes, "[");
    for (size_t i = 0; i < shape.rank && used < bytes; i++) {
        const char *comma = i ? "," : "";
        used += shape.dims[i] < 0
                    ? (size_t)snprintf(text + used, bytes - used, "%s?", comma)
                    : (size_t)snprintf(text + used, bytes - used, "%s%lld", comma,
                                       (long long)shape.dims[i]);
    }
    if (used < bytes)
        snprintf(text + used, bytes - used, "]");
    return text;
}
