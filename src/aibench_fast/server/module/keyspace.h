/* Values of this module's types under keys. Main thread only. */
#ifndef AIBENCH_KEYSPACE_H
#define AIBENCH_KEYSPACE_H

#include "error.h"
#include "redismodule_api.h"

/* What a kind of value is stored as. */
typedef struct ValueKind {
    RedisModuleType *type; /* NULL for a kind that no key ever holds */
    const char *missing; /* the error where the key holds nothing */
} ValueKind;

/* The value under a key, borrowed from it: retain it to keep it. NULL, with the error set, where the
 * key holds nothing or a value of another kind. */
void *keyspace_get(RedisModuleCtx *ctx, const ValueKind *kind, RedisModuleString *name,
                   Error *error);

/* Puts a value, and the caller's reference to it, under a key. On REDISMODULE_ERR, where the key
 * holds another kind of value, the reference stays with the caller. */
int keyspace_set(RedisModuleCtx *ctx, const ValueKind *kind, RedisModuleString *name, void *value,
                 Error *error);

/* Removes the value, which keyspace_get has found. */
void keyspace_delete(RedisModuleCtx *ctx, RedisModuleString *name);

#endif
