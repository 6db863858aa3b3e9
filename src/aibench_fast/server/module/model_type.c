#include "model_type.h"

#include <pthread.h>

#include "arguments.h"
#include "rdb.h"

#define ENCODING_VERSION 1
#define MAX_NAMES ((uint64_t)1 << 20) /* in a saved database: what is above it is damage */

ValueKind model_kind = {NULL, "ERR model key is empty"};

/* ---- the stored models ---- */

static struct {
    pthread_mutex_t lock; /* FLUSHALL ASYNC frees values on a thread of the server's own */
    Model *first;
    size_t count;
} stored = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void list_add(Model *model, int db, const char *key)
{
    model->db = db;
    model->key = RedisModule_Strdup(key);
    pthread_mutex_lock(&stored.lock);
    model->next = stored.first;
    if (stored.first)
        stored.first->previous = model;
    stored.first = model;
    stored.count++;
    model->listed = true;
    pthread_mutex_unlock(&stored.lock);
}

/* The lock is held. */
static void list_remove(Model *model)
{
    if (!model->listed)
        return;
    if (model->previous)
        model->previous->next = model->next;
    else
        stored.first = model->next;
    if (model->next)
        model->next->previous = model->previous;
    stored.count--;
    model->listed = false;
}

/* The key is gone; runs that are under way may still hold the model. */
static void free_stored(void *value)
{
    Model *model = value;
    pthread_mutex_lock(&stored.lock);
    list_remove(model);
    pthread_mutex_unlock(&stored.lock);
    model_release(model);
}

/* The keys are gone when this is called, and their values are freed some time later. */
static void on_flush(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t subevent, void *data)
{
    (void)ctx, (void)event;
    const RedisModuleFlushInfo *flush = data;
    if (subevent != REDISMODULE_SUBEVENT_FLUSHDB_START)
        return;
    pthread_mutex_lock(&stored.lock);
    for (Model *model = stored.first, *next; model; model = next) {
        next = model->next;
        if (flush->db < 0 || flush->db == model->db)
            list_remove(model);
    }
    pthread_mutex_unlock(&stored.lock);
}

ModelList models_list(void)
{
    pthread_mutex_lock(&stored.lock);
    ModelList models = {RedisModule_Alloc(stored.count * sizeof(Model *) + 1), 0};
    for (Model *model = stored.first; model; model = model->next)
        models.items[models.count++] = model_retain(model);
    pthread_mutex_unlock(&stored.lock);
    return models;
}

void models_release(ModelList *models)
{
    for (size_t i = 0; i < models->count; i++)
        model_release(models->items[i]);
    RedisModule_Free(models->items);
}

int model_store(RedisModuleCtx *ctx, RedisModuleString *name, Model *model, Error *error)
{
    if (keyspace_set(ctx, &model_kind, name, model, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    list_add(model, RedisModule_GetSelectedDb(ctx), argument_text(name));
    return REDISMODULE_OK;
}

/* ---- the saved database ---- */

static void save_names(RedisModuleIO *rdb, const Names *names)
{
    RedisModule_SaveUnsigned(rdb, names->count);
    for (size_t i = 0; i < names->count; i++)
        rdb_save_text(rdb, names->items[i]);
}

/* Version 1: backend, device, tag, the three limits, names of inputs and outputs, blob. */
static void save(RedisModuleIO *rdb, void *value)
{
    const Model *model = value;
    rdb_save_text(rdb, model->engine->backend);
    rdb_save_text(rdb, model->device);
    rdb_save_text(rdb, model->tag);
    RedisModule_SaveUnsigned(rdb, (uint64_t)model->limits.batch_size);
    RedisModule_SaveUnsigned(rdb, (uint64_t)model->limits.min_batch_size);
    RedisModule_SaveUnsigned(rdb, (uint64_t)model->limits.min_batch_timeout_ms);
    save_names(rdb, &model->inputs);
    save_names(rdb, &model->outputs);
    RedisModule_SaveStringBuffer(rdb, model->blob.data, model->blob.bytes);
}

static void load_names(RedisModuleIO *rdb, Names *names)
{
    uint64_t count = RedisModule_LoadUnsigned(rdb);
    for (uint64_t i = 0; i < count && count <= MAX_NAMES && !RedisModule_IsIOError(rdb); i++) {
        char *name = rdb_load_text(rdb);
        if (name)
            names_add(names, name);
        RedisModule_Free(name);
    }
}

static void *load(RedisModuleIO *rdb, int encoding_version)
{
    Error error = {"it is cut short, or of a newer version"};
    if (encoding_version != ENCODING_VERSION) {
        RedisModule_LogIOError(rdb, "warning", "cannot load a model: %s", error.text);
        return NULL;
    }
    ModelSpec spec = {0};
    char *backend = rdb_load_text(rdb);
    char *device = rdb_load_text(rdb);
    char *tag = rdb_load_text(rdb);
    spec.limits.batch_size = (long long)RedisModule_LoadUnsigned(rdb);
    spec.limits.min_batch_size = (long long)RedisModule_LoadUnsigned(rdb);
    spec.limits.min_batch_timeout_ms = (long long)RedisModule_LoadUnsigned(rdb);
    load_names(rdb, &spec.inputs);
    load_names(rdb, &spec.outputs);
    spec.blob = rdb_load_blob(rdb);
    spec.device = device;
    spec.tag = tag;
    spec.engine = backend ? engine_find(backend) : NULL;

    Model *model = NULL;
    if (spec.engine && device && tag && spec.blob.data && !RedisModule_IsIOError(rdb)) {
        model = model_create(&spec, &error);
    } else {
        names_free(&spec.inputs);
        names_free(&spec.outputs);
        blob_free(&spec.blob);
    }
    if (model)
        list_add(model, RedisModule_GetDbIdFromIO(rdb),
                 argument_text(RedisModule_GetKeyNameFromIO(rdb)));
    else
        RedisModule_LogIOError(rdb, "warning", "cannot load a model: %s", error.text);
    RedisModule_Free(backend);
    RedisModule_Free(device);
    RedisModule_Free(tag);
    return model;
}

static size_t memory_usage(const void *value)
{
    const Model *model = value;
    return sizeof(*model) + model->blob.bytes;
}

int model_type_register(RedisModuleCtx *ctx)
{
    RedisModuleTypeMethods methods = {
        .version = REDISMODULE_TYPE_METHOD_VERSION,
        .rdb_load = load,
        .rdb_save = save,
        .mem_usage = memory_usage,
        .free = free_stored,
    };
    model_kind.type = RedisModule_CreateDataType(ctx, "AI__MODEL", ENCODING_VERSION, &methods);
    RedisModuleEvent flush = {REDISMODULE_EVENT_FLUSHDB, 1};
    if (!model_kind.type)
        return REDISMODULE_ERR;
    return RedisModule_SubscribeToServerEvent(ctx, flush, on_flush);
}
