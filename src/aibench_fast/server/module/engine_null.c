/* No inference: every output is zeros of shape [rows, 1001]. The rest of a request is real, so the
 * rate that a client reaches against it is the client's own limit, and the wire's. */
#include <string.h>

#include "engine.h"

#define CLASSES 1001

struct EngineModel {
    size_t output_count;
};

static int null_load(const char *blob, size_t bytes, Names *inputs, Names *outputs,
                     EngineModel **model, Error *error)
{
    (void)blob, (void)bytes, (void)error;
    if (inputs->count == 0)
        names_add(inputs, "input");
    if (outputs->count == 0)
        names_add(outputs, "output");
    *model = RedisModule_Alloc(sizeof(**model));
    (*model)->output_count = outputs->count;
    return REDISMODULE_OK;
}

static int null_run(EngineModel *model, EngineRequest *requests, size_t count, Error *error)
{
    for (size_t i = 0; i < count; i++) {
        int64_t dims[] = {tensor_rows(requests[i].inputs[0]), CLASSES};
        if ((uint64_t)dims[0] > TENSOR_MAX_BYTES / (CLASSES * sizeof(float)))
            return error_set(error, "NULL: %lld rows give an output above %zu bytes",
                             (long long)dims[0], TENSOR_MAX_BYTES);
    }
    for (size_t i = 0; i < count; i++) {
        int64_t dims[] = {tensor_rows(requests[i].inputs[0]), CLASSES};
        for (size_t o = 0; o < model->output_count; o++) {
            Blob blob = blob_create((size_t)dims[0] * CLASSES * sizeof(float));
            memset((char *)blob.data, 0, blob.bytes);
            requests[i].outputs[o] = tensor_create(DTYPE_FLOAT, (Shape){2, dims}, blob);
        }
    }
    return REDISMODULE_OK;
}

static void null_free(EngineModel *model) { RedisModule_Free(model); }

const Engine engine_null = {
    .backend = "NULL",
    .instant = true,
    .blobless = true,
    .batches = true,
    .load = null_load,
    .run = null_run,
    .free = null_free,
};
