/* Models: immutable once made but for their counters, and shared by reference count, so that one
 * that is deleted or replaced while it runs lives until its last run is over.
 */
#ifndef AIBENCH_MODEL_H
#define AIBENCH_MODEL_H

#include "engine.h"

typedef struct BatchLimits {
    long long batch_size;           /* rows of one execution at most; 0: requests run one by one */
    long long min_batch_size;       /* rows to wait for; 0: none */
    long long min_batch_timeout_ms; /* the wait's end; 0: none */
} BatchLimits;

/* What AI.INFO counts. Written by whoever runs the model, read on the main thread. */
typedef struct ModelStats {
    _Atomic int64_t duration_us; /* a batch's time is charged to each request in it */
    _Atomic int64_t samples;     /* rows of the requests that succeeded */
    _Atomic int64_t calls;       /* requests */
    _Atomic int64_t errors;      /* requests that failed */
    _Atomic int64_t executions;  /* of the engine: fewer than calls where requests were batched */
    _Atomic int64_t rows;        /* rows that those executions took */
} ModelStats;

/* What a model is made of. */
typedef struct ModelSpec {
    const Engine *engine;
    const char *device; /* borrowed */
    const char *tag;    /* borrowed; "" where there is none */
    BatchLimits limits;
    Names inputs, outputs; /* taken over by model_create, whatever it returns */
    Blob blob;             /* taken over as well */
} ModelSpec;

typedef struct Model {
    atomic_uint references;
    const Engine *engine;
    EngineModel *engine_model;
    char *device;
    char *tag;
    BatchLimits limits;
    Names inputs, outputs;
    Blob blob;
    ModelStats stats;
    /* model_type.c's: where it was stored, and its place among the stored models */
    char *key;
    int db;
    bool listed;
    struct Model *previous, *next;
} Model;

/* A model with one reference, ready to run; NULL with the error set where its engine refuses it. */
Model *model_create(ModelSpec *spec, Error *error);

Model *model_retain(Model *model);
void model_release(Model *model); /* where its blob may be freed (blob.h) */

void model_reset_stats(Model *model);

#endif
