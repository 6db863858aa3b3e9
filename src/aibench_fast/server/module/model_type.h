/* The type of keys that hold models, and the list of all models that are under keys. */
#ifndef AIBENCH_MODEL_TYPE_H
#define AIBENCH_MODEL_TYPE_H

#include "keyspace.h"
#include "model.h"

extern ValueKind model_kind;

int model_type_register(RedisModuleCtx *ctx);

/* Puts a model, and the caller's reference to it, under a key. On REDISMODULE_ERR, where the key
 * holds another kind of value, the reference stays with the caller. Main thread. */
int model_store(RedisModuleCtx *ctx, RedisModuleString *name, Model *model, Error *error);

/* The stored models, the latest first, with one reference each; freed with models_release, on the
 * main thread. */
typedef struct ModelList {
    Model **items;
    size_t count;
} ModelList;

ModelList models_list(void);
void models_release(ModelList *models);

#endif
