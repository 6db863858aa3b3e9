#include "tensor_format.h"

#include <stdio.h>
#include <string.h>

static int parse_string_values(const Arguments *arguments, Blob *blob, Error *error)
{
    RedisModuleString **values = arguments->argv + arguments->next;
    int count = arguments_left(arguments);
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        size_t bytes;
        const char *text = RedisModule_StringPtrLen(values[i], &bytes);
        /* A NUL that the client sent at the end is the one that we would add. */
        if (strlen(text) + 1 < bytes)
            return error_set(error, "ERR C-string value contains null character");
        total += strlen(text) + 1;
    }
    *blob = blob_create(total);
    char *end = (char *)blob->data;
    for (int i = 0; i < count; i++)
        end = stpcpy(end, argument_text(values[i])) + 1;
    return REDISMODULE_OK;
}

static bool parse_number(DType dtype, const RedisModuleString *text, char *data, size_t index)
{
    if (dtype_is_float(dtype)) {
        double value;
        if (RedisModule_StringToDouble(text, &value) != REDISMODULE_OK)
            return false;
        dtype_store_double(dtype, data, index, value);
        return true;
    }
    long long value;
    return RedisModule_StringToLongLong(text, &value) == REDISMODULE_OK &&
           dtype_store_integer(dtype, data, index, value);
}

static int parse_values(DType dtype, size_t bytes, const Arguments *arguments, Blob *blob,
                        Error *error)
{
    if (dtype == DTYPE_STRING)
        return parse_string_values(arguments, blob, error);
    *blob = blob_create(bytes);
    for (int i = 0; i < arguments_left(arguments); i++)
        if (!parse_number(dtype, arguments->argv[arguments->next + i], (char *)blob->data,
                          (size_t)i)) {
            blob_free(blob);
            return error_set(error, "ERR invalid value: number %d is not a %s", i + 1,
                             dtype_name(dtype));
        }
    return REDISMODULE_OK;
}

/* The arguments of the data, from the word BLOB or VALUES on; empty if there is no data. */
static int parse_data(RedisModuleCtx *ctx, Arguments *arguments, DType dtype, Shape shape,
                      Blob *blob, Error *error)
{
    size_t bytes;
    if (tensor_measure(dtype, shape, &bytes, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    if (arguments_take_word(arguments, "BLOB")) {
        if (arguments_left(arguments) != 1)
            return error_set(error, "ERR a single binary string should come after the BLOB "
                                    "argument in 'AI.TENSORSET' command");
        RedisModuleString *data = arguments->argv[arguments->next++];
        size_t given;
        const char *text = RedisModule_StringPtrLen(data, &given);
        if (tensor_check_data(dtype, shape, text, given, error) != REDISMODULE_OK)
            return REDISMODULE_ERR;
        *blob = blob_hold(ctx, data);
        return REDISMODULE_OK;
    }
    if (arguments_take_word(arguments, "VALUES")) {
        if ((size_t)arguments_left(arguments) != bytes / dtype_bytes(dtype))
            return error_set(error,
                             "ERR wrong number of values was given in 'AI.TENSORSET' command");
        return parse_values(dtype, bytes, arguments, blob, error);
    }
    *blob = blob_create(bytes);
    memset((char *)blob->data, 0, bytes);
    return REDISMODULE_OK;
}

int tensor_parse(RedisModuleCtx *ctx, Arguments *arguments, Tensor **tensor, Error *error)
{
    DType dtype;
    if (!dtype_from_name(argument_text(arguments->argv[arguments->next++]), &dtype))
        return error_set(error, "ERR invalid data type");

    Shape shape = {0, RedisModule_Alloc((size_t)arguments_left(arguments) * sizeof(int64_t) + 1)};
    int result = REDISMODULE_OK;
    while (result == REDISMODULE_OK && arguments_left(arguments) > 0) {
        const RedisModuleString *next = arguments->argv[arguments->next];
        if (argument_is(next, "BLOB") || argument_is(next, "VALUES"))
            break;
        long long dim;
        if (arguments_take_integer(arguments, 1, &dim))
            shape.dims[shape.rank++] = dim;
        else
            result = error_set(error, "ERR invalid or negative value found in tensor shape");
    }
    Blob blob;
    if (result == REDISMODULE_OK)
        result = parse_data(ctx, arguments, dtype, shape, &blob, error);
    if (result == REDISMODULE_OK)
        *tensor = tensor_create(dtype, shape, blob);
    RedisModule_Free(shape.dims);
    return result;
}

int tensor_parse_format(Arguments *arguments, int *format, Error *error)
{
    *format = 0;
    while (arguments_left(arguments) > 0) {
        if (arguments_take_word(arguments, "META"))
            *format |= FORMAT_META;
        else if (arguments_take_word(arguments, "BLOB"))
            *format |= FORMAT_BLOB;
        else if (arguments_take_word(arguments, "VALUES"))
            *format |= FORMAT_VALUES;
        else
            return error_set(error, "ERR unsupported data format");
    }
    if ((*format & FORMAT_BLOB) && (*format & FORMAT_VALUES))
        return error_set(error, "ERR both BLOB and VALUES specified");
    if (*format == 0)
        *format = FORMAT_META | FORMAT_BLOB;
    return REDISMODULE_OK;
}

/* A float with 17 digits, as the Redis 7.0 that RedisAI runs on writes it in RESP2; later servers and
 * Valkey write the fewest digits that identify it. RESP3 has a type for it, which the server writes. */
static void reply_float(RedisModuleCtx *ctx, double value, bool resp3)
{
    char text[32];
    if (resp3) {
        RedisModule_ReplyWithDouble(ctx, value);
        return;
    }
    int bytes = snprintf(text, sizeof(text), "%.17g", value);
    RedisModule_ReplyWithStringBuffer(ctx, text, (size_t)bytes);
}

static void reply_values(RedisModuleCtx *ctx, const Tensor *tensor)
{
    size_t count = tensor_element_count(tensor);
    const char *data = tensor->blob.data;
    bool resp3 = (RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_RESP3) != 0;
    RedisModule_ReplyWithArray(ctx, (long)count);
    for (size_t i = 0; i < count; i++) {
        if (tensor->dtype == DTYPE_STRING) {
            RedisModule_ReplyWithCString(ctx, data);
            data += strlen(data) + 1;
        } else if (dtype_is_float(tensor->dtype)) {
            reply_float(ctx, dtype_load_double(tensor->dtype, data, i), resp3);
        } else {
            RedisModule_ReplyWithLongLong(ctx, dtype_load_integer(tensor->dtype, data, i));
        }
    }
}

int tensor_reply(RedisModuleCtx *ctx, const Tensor *tensor, int format)
{
    if (format & FORMAT_META) {
        RedisModule_ReplyWithArray(ctx, format == FORMAT_META ? 4 : 6);
        RedisModule_ReplyWithCString(ctx, "dtype");
        RedisModule_ReplyWithCString(ctx, dtype_name(tensor->dtype));
        RedisModule_ReplyWithCString(ctx, "shape");
        RedisModule_ReplyWithArray(ctx, (long)tensor->shape.rank);
        for (size_t i = 0; i < tensor->shape.rank; i++)
            RedisModule_ReplyWithLongLong(ctx, tensor->dims[i]);
    }
    if (format & FORMAT_BLOB) {
        if (format & FORMAT_META)
            RedisModule_ReplyWithCString(ctx, "blob");
        RedisModule_ReplyWithStringBuffer(ctx, tensor->blob.data, tensor->blob.bytes);
    }
    if (format & FORMAT_VALUES) {
        if (format & FORMAT_META)
            RedisModule_ReplyWithCString(ctx, "values");
        reply_values(ctx, tensor);
    }
    return REDISMODULE_OK;
}
