#include "keyspace.h"

#include "arguments.h"

#define WRONG_TYPE "WRONGTYPE Operation against a key holding the wrong kind of value: '%.64s'"

void *keyspace_get(RedisModuleCtx *ctx, const ValueKind *kind, RedisModuleString *name,
                   Error *error)
{
    RedisModuleKey *key = RedisModule_OpenKey(ctx, name, REDISMODULE_READ);
    if (!key || RedisModule_KeyType(key) == REDISMODULE_KEYTYPE_EMPTY) {
        RedisModule_CloseKey(key);
        error_set(error, "%s: '%.64s'", kind->missing, argument_text(name));
        return NULL;
    }
    void *value = NULL;
    if (kind->type && RedisModule_ModuleTypeGetType(key) == kind->type)
        value = RedisModule_ModuleTypeGetValue(key);
    else
        error_set(error, WRONG_TYPE, argument_text(name));
    RedisModule_CloseKey(key);
    return value;
}

int keyspace_set(RedisModuleCtx *ctx, const ValueKind *kind, RedisModuleString *name, void *value,
                 Error *error)
{
    RedisModuleKey *key = RedisModule_OpenKey(ctx, name, REDISMODULE_READ | REDISMODULE_WRITE);
    int result = REDISMODULE_OK;
    if (RedisModule_KeyType(key) != REDISMODULE_KEYTYPE_EMPTY &&
        RedisModule_ModuleTypeGetType(key) != kind->type)
        result = error_set(error, WRONG_TYPE, argument_text(name));
    else
        RedisModule_ModuleTypeSetValue(key, kind->type, value);
    RedisModule_CloseKey(key);
    return result;
}

void keyspace_delete(RedisModuleCtx *ctx, RedisModuleString *name)
{
    RedisModuleKey *key = RedisModule_OpenKey(ctx, name, REDISMODULE_WRITE);
    RedisModule_DeleteKey(key);
    RedisModule_CloseKey(key);
}
