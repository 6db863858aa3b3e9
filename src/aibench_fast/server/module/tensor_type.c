#include "tensor_type.h"

#include "rdb.h"

#define ENCODING_VERSION 1
#define MAX_RANK ((uint64_t)1 << 20) /* in a saved database: what is above it is damage */

ValueKind tensor_kind = {NULL, "ERR tensor key is empty or in a different shard"};

/* Version 1: the type's name, the rank, the dimensions, the data. */
static void save(RedisModuleIO *rdb, void *value)
{
    const Tensor *tensor = value;
    rdb_save_text(rdb, dtype_name(tensor->dtype));
    RedisModule_SaveUnsigned(rdb, tensor->shape.rank);
    for (size_t i = 0; i < tensor->shape.rank; i++)
        RedisModule_SaveUnsigned(rdb, (uint64_t)tensor->dims[i]);
    RedisModule_SaveStringBuffer(rdb, tensor->blob.data, tensor->blob.bytes);
}

static Tensor *load_data(RedisModuleIO *rdb, DType dtype, Shape shape, Error *error)
{
    Blob blob = rdb_load_blob(rdb);
    if (!blob.data) {
        error_set(error, "it is cut short");
        return NULL;
    }
    if (tensor_check_data(dtype, shape, blob.data, blob.bytes, error) != REDISMODULE_OK) {
        blob_free(&blob);
        return NULL;
    }
    return tensor_create(dtype, shape, blob);
}

static void *load(RedisModuleIO *rdb, int encoding_version)
{
    Error error = {"it is cut short, or of a newer version"};
    Tensor *tensor = NULL;
    DType dtype;
    char *name = encoding_version == ENCODING_VERSION ? rdb_load_text(rdb) : NULL;
    uint64_t rank = name ? RedisModule_LoadUnsigned(rdb) : 0;
    if (name && dtype_from_name(name, &dtype) && rank <= MAX_RANK && !RedisModule_IsIOError(rdb)) {
        Shape shape = {(size_t)rank, RedisModule_Alloc((size_t)rank * sizeof(int64_t) + 1)};
        for (size_t i = 0; i < shape.rank; i++)
            shape.dims[i] = (int64_t)RedisModule_LoadUnsigned(rdb);
        tensor = load_data(rdb, dtype, shape, &error);
        RedisModule_Free(shape.dims);
    }
    RedisModule_Free(name);
    if (!tensor)
        RedisModule_LogIOError(rdb, "warning", "cannot load a tensor: %s", error.text);
    return tensor;
}

static size_t memory_usage(const void *value)
{
    const Tensor *tensor = value;
    return sizeof(*tensor) + tensor->shape.rank * sizeof(tensor->dims[0]) + tensor->blob.bytes;
}

static void release(void *value) { tensor_release(value); }

int tensor_type_register(RedisModuleCtx *ctx)
{
    RedisModuleTypeMethods methods = {
        .version = REDISMODULE_TYPE_METHOD_VERSION,
        .rdb_load = load,
        .rdb_save = save,
        .mem_usage = memory_usage,
        .free = release,
    };
    tensor_kind.type =
        RedisModule_CreateDataType(ctx, "AI_TENSOR", ENCODING_VERSION, &methods);
    return tensor_kind.type ? REDISMODULE_OK : REDISMODULE_ERR;
}
