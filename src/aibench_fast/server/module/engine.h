/* What runs models. An engine is a constant table; a backend's name finds it. */
#ifndef AIBENCH_ENGINE_H
#define AIBENCH_ENGINE_H

#include "error.h"
#include "tensor.h"

/* A list of names: both levels are allocated by names_add, and freed by names_free. */
typedef struct Names {
    char **items;
    size_t count;
} Names;

void names_add(Names *names, const char *name);
void names_free(Names *names);

/* One request's part of an execution: tensors in the order of the model's inputs and outputs. */
typedef struct EngineRequest {
    Tensor **inputs;  /* borrowed */
    Tensor **outputs; /* set by run: one reference each, the caller's */
} EngineRequest;

typedef struct EngineModel EngineModel;

typedef struct Engine {
    const char *backend; /* RedisAI's word for it */
    bool named;          /* a model is stored with the names of its inputs and outputs */
    bool instant;        /* run takes no time: it may be called on the main thread */
    bool blobless;       /* a model needs no blob */
    bool batches;        /* BATCHSIZE is allowed */

    /* Makes a model of a blob, which is not kept, for at most `threads` runs at a time. Inputs and
     * outputs hold the given names, or nothing; on success they hold the model's. Main thread. */
    int (*load)(const char *blob, size_t bytes, Names *inputs, Names *outputs, EngineModel **model,
                Error *error);

    /* Runs requests as one execution. Where there is more than one, they agree in everything but
     * dimension 0, along which they are joined, and the outputs are split. Any thread, several at a
     * time. On REDISMODULE_ERR no output is set. */
    int (*run)(EngineModel *model, EngineRequest *requests, size_t count, Error *error);

    /* No run is under way. Any thread. */
    void (*free)(EngineModel *model);
} Engine;

/* The engine of a backend's name, in any case; NULL where there is none. */
const Engine *engine_find(const char *backend);

/* Why engine_find has none: a constant string, ready as an error reply. */
const char *engine_absence(const char *backend);

extern const Engine engine_null;
extern const Engine engine_openvino_tf, engine_openvino_tflite, engine_openvino_onnx;

#endif
