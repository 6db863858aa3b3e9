#include "openvino_variants.h"

#include <stdio.h>

#include "config.h"

static void variant_free(Variant *variant, const Source *source)
{
    while (variant->idle) {
        Inference *inference = variant->idle;
        variant->idle = inference->next;
        openvino.infer_request_free(inference->handle);
        RedisModule_Free(inference);
    }
    if (variant->compiled)
        openvino.compiled_model_free(variant->compiled);
    for (size_t i = 0; i < source->input_count; i++)
        RedisModule_Free(variant->shapes[i].dims);
    RedisModule_Free(variant->shapes);
    RedisModule_Free(variant);
}

void variants_create(Variants *variants)
{
    pthread_mutex_init(&variants->lock, NULL);
    variants->first = NULL;
}

void variants_free(Variants *variants, const Source *source)
{
    while (variants->first) {
        Variant *variant = variants->first;
        variants->first = variant->next;
        variant_free(variant, source);
    }
    pthread_mutex_destroy(&variants->lock);
}

/* ---- the lock is held ---- */

static int compile(const Source *source, Variant *variant, Error *error)
{
    char streams[24], threads[24];
    snprintf(streams, sizeof(streams), "%lld", config.threads_per_queue);
    snprintf(threads, sizeof(threads), "%lld", config.intra_op_parallelism);
    if (source_reshape(source, variant->shapes, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    /* OpenVINO would compute in bfloat16 on processors that have it; the models, and RedisAI, are
     * of single precision. */
    if (openvino.core_compile_model(openvino.core, source->handle, "CPU", 6, &variant->compiled,
                                    "NUM_STREAMS", streams, "INFERENCE_NUM_THREADS", threads,
                                    "INFERENCE_PRECISION_HINT", "f32") != 0)
        return openvino_error(error, "the model cannot be compiled");
    return REDISMODULE_OK;
}

static void push_front(Variants *variants, Variant *variant)
{
    variant->next = variants->first;
    variants->first = variant;
}

static Variant *take_out(Variants *variants, const Source *source, const Shape *shapes)
{
    for (Variant **link = &variants->first; *link; link = &(*link)->next) {
        Variant *variant = *link;
        bool same = true;
        for (size_t i = 0; i < source->input_count; i++)
            same = same && shape_equal(shapes[i], variant->shapes[i]);
        if (same) {
            *link = variant->next;
            return variant;
        }
    }
    return NULL;
}

static Variant *variant_create(const Source *source, const Shape *shapes, Error *error)
{
    Variant *variant = RedisModule_Calloc(1, sizeof(*variant));
    variant->shapes = RedisModule_Calloc(source->input_count, sizeof(Shape));
    for (size_t i = 0; i < source->input_count; i++)
        variant->shapes[i] = shape_copy(shapes[i]);
    if (compile(source, variant, error) != REDISMODULE_OK) {
        variant_free(variant, source);
        return NULL;
    }
    return variant;
}

/* Drops the variants that were used longest ago, but none that is running. */
static void trim(Variants *variants, const Source *source)
{
    size_t seen = 0;
    for (Variant **link = &variants->first; *link;) {
        Variant *variant = *link;
        if (++seen <= MAX_VARIANTS || variant->running) {
            link = &variant->next;
        } else {
            *link = variant->next;
            variant_free(variant, source);
        }
    }
}

static Inference *begin(Variant *variant, Error *error)
{
    Inference *inference = variant->idle;
    if (inference) {
        variant->idle = inference->next;
    } else {
        ov_infer_request_t *handle;
        if (openvino.compiled_model_create_infer_request(variant->compiled, &handle) != 0) {
            openvino_error(error, "the model cannot be run");
            return NULL;
        }
        inference = RedisModule_Calloc(1, sizeof(*inference));
        inference->handle = handle;
        inference->variant = variant;
    }
    variant->running++;
    return inference;
}

/* ---- callers' side ---- */

Inference *variants_begin(Variants *variants, const Source *source, const Shape *shapes,
                          Error *error)
{
    Inference *inference = NULL;
    pthread_mutex_lock(&variants->lock);
    Variant *variant = take_out(variants, source, shapes);
    if (!variant)
        variant = variant_create(source, shapes, error);
    if (variant) {
        push_front(variants, variant);
        inference = begin(variant, error);
        trim(variants, source);
    }
    pthread_mutex_unlock(&variants->lock);
    return inference;
}

void variants_end(Variants *variants, Inference *inference)
{
    pthread_mutex_lock(&variants->lock);
    inference->next = inference->variant->idle;
    inference->variant->idle = inference;
    inference->variant->running--;
    pthread_mutex_unlock(&variants->lock);
}
