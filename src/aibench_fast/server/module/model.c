#include "model.h"

Model *model_create(ModelSpec *spec, Error *error)
{
    Model *model = RedisModule_Calloc(1, sizeof(*model));
    atomic_init(&model->references, 1);
    model->engine = spec->engine;
    model->device = RedisModule_Strdup(spec->device);
    model->tag = RedisModule_Strdup(spec->tag);
    model->limits = spec->limits;
    model->inputs = spec->inputs;
    model->outputs = spec->outputs;
    model->blob = spec->blob;
    if (model->engine->load(model->blob.data, model->blob.bytes, &model->inputs, &model->outputs,
                            &model->engine_model, error) != REDISMODULE_OK) {
        model_release(model);
        return NULL;
    }
    return model;
}

Model *model_retain(Model *model)
{
    atomic_fetch_add_explicit(&model->references, 1, memory_order_relaxed);
    return model;
}

void model_release(Model *model)
{
    if (!model || atomic_fetch_sub_explicit(&model->references, 1, memory_order_acq_rel) != 1)
        return;
    if (model->engine_model)
        model->engine->free(model->engine_model);
    RedisModule_Free(model->device);
    RedisModule_Free(model->tag);
    RedisModule_Free(model->key);
    names_free(&model->inputs);
    names_free(&model->outputs);
    blob_free(&model->blob);
    RedisModule_Free(model);
}

void model_reset_stats(Model *model)
{
    ModelStats *stats = &model->stats;
    stats->duration_us = stats->samples = stats->calls = stats->errors = 0;
    stats->executions = stats->rows = 0;
}
