/* The part of the server's module interface that this module uses.
 *
 * No package ships the server's own header, so the types and functions are declared here and looked
 * up by name when the module loads. Names and signatures are the same in Redis 6.2 and later and in
 * Valkey.
 *
 * Threads: every function needs the server's main thread, except Alloc, Calloc, Free, Strdup,
 * UnblockClient, BlockedClientMeasureTimeStart and BlockedClientMeasureTimeEnd.
 */
#ifndef AIBENCH_REDISMODULE_API_H
#define AIBENCH_REDISMODULE_API_H

#include <stddef.h>
#include <stdint.h>

#define REDISMODULE_OK 0
#define REDISMODULE_ERR 1
#define REDISMODULE_APIVER_1 1

#define REDISMODULE_READ (1 << 0)
#define REDISMODULE_WRITE (1 << 1)
#define REDISMODULE_KEYTYPE_EMPTY 0

#define REDISMODULE_CTX_FLAGS_LUA (1 << 0)
#define REDISMODULE_CTX_FLAGS_MULTI (1 << 1)
#define REDISMODULE_CTX_FLAGS_DENY_BLOCKING (1 << 21)
#define REDISMODULE_CTX_FLAGS_RESP3 (1 << 22)

#define REDISMODULE_OPTIONS_HANDLE_IO_ERRORS (1 << 0)

#define REDISMODULE_EVENT_FLUSHDB 2
#define REDISMODULE_SUBEVENT_FLUSHDB_START 0

#define REDISMODULE_TYPE_METHOD_VERSION 1

typedef struct RedisModuleCtx RedisModuleCtx;
typedef struct RedisModuleString RedisModuleString;
typedef struct RedisModuleKey RedisModuleKey;
typedef struct RedisModuleType RedisModuleType;
typedef struct RedisModuleIO RedisModuleIO;
typedef struct RedisModuleDigest RedisModuleDigest;
typedef struct RedisModuleDict RedisModuleDict;
typedef struct RedisModuleInfoCtx RedisModuleInfoCtx;
typedef struct RedisModuleBlockedClient RedisModuleBlockedClient;

typedef struct RedisModuleEvent {
    uint64_t id;
    uint64_t data_version;
} RedisModuleEvent;

typedef struct RedisModuleFlushInfo {
    uint64_t version;
    int32_t sync;
    int32_t db; /* -1: all */
} RedisModuleFlushInfo;

typedef void (*RedisModuleEventCallback)(RedisModuleCtx *ctx, RedisModuleEvent event,
                                         uint64_t subevent, void *data);
typedef int (*RedisModuleCmdFunc)(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
typedef void (*RedisModuleInfoFunc)(RedisModuleInfoCtx *ctx, int for_crash_report);

typedef struct RedisModuleTypeMethods {
    uint64_t version;
    void *(*rdb_load)(RedisModuleIO *rdb, int encoding_version);
    void (*rdb_save)(RedisModuleIO *rdb, void *value);
    void (*aof_rewrite)(RedisModuleIO *aof, RedisModuleString *key, void *value);
    size_t (*mem_usage)(const void *value);
    void (*digest)(RedisModuleDigest *digest, void *value);
    void (*free)(void *value);
} RedisModuleTypeMethods;

#define REDISMODULE_FUNCTIONS(F)                                                                   \
    F(void *, Alloc, (size_t bytes))                                                               \
    F(void *, Calloc, (size_t count, size_t bytes))                                                \
    F(void *, Realloc, (void *memory, size_t bytes))                                               \
    F(void, Free, (void *memory))                                                                  \
    F(char *, Strdup, (const char *text))                                                          \
    F(void, SetModuleAttribs, (RedisModuleCtx *, const char *name, int version, int api_version))  \
    F(void, SetModuleOptions, (RedisModuleCtx *, int options))                                     \
    F(int, CreateCommand,                                                                          \
      (RedisModuleCtx *, const char *name, RedisModuleCmdFunc, const char *flags, int first_key,   \
       int last_key, int key_step))                                                                \
    F(RedisModuleType *, CreateDataType,                                                           \
      (RedisModuleCtx *, const char *name, int encoding_version, RedisModuleTypeMethods *))        \
    F(int, RegisterInfoFunc, (RedisModuleCtx *, RedisModuleInfoFunc))                              \
    F(int, SubscribeToServerEvent,                                                                 \
      (RedisModuleCtx *, RedisModuleEvent, RedisModuleEventCallback))                              \
    F(int, GetSelectedDb, (RedisModuleCtx *))                                                      \
    F(void, Log, (RedisModuleCtx *, const char *level, const char *format, ...))                   \
    F(int, GetContextFlags, (RedisModuleCtx *))                                                    \
    F(int, IsKeysPositionRequest, (RedisModuleCtx *))                                              \
    F(void, KeyAtPos, (RedisModuleCtx *, int position))                                            \
    F(int, ReplicateVerbatim, (RedisModuleCtx *))                                                  \
    F(int, WrongArity, (RedisModuleCtx *))                                                         \
    F(int, ReplyWithError, (RedisModuleCtx *, const char *error))                                  \
    F(int, ReplyWithSimpleString, (RedisModuleCtx *, const char *text))                            \
    F(int, ReplyWithCString, (RedisModuleCtx *, const char *text))                                 \
    F(int, ReplyWithStringBuffer, (RedisModuleCtx *, const char *data, size_t bytes))              \
    F(int, ReplyWithString, (RedisModuleCtx *, RedisModuleString *))                               \
    F(int, ReplyWithLongLong, (RedisModuleCtx *, long long))                                       \
    F(int, ReplyWithDouble, (RedisModuleCtx *, double))                                            \
    F(int, ReplyWithNull, (RedisModuleCtx *))                                                      \
    F(int, ReplyWithArray, (RedisModuleCtx *, long count))                                         \
    F(const char *, StringPtrLen, (const RedisModuleString *, size_t *bytes))                      \
    F(int, StringToLongLong, (const RedisModuleString *, long long *))                             \
    F(int, StringToDouble, (const RedisModuleString *, double *))                                  \
    F(RedisModuleString *, CreateString, (RedisModuleCtx *, const char *data, size_t bytes))       \
    F(RedisModuleString *, HoldString, (RedisModuleCtx *, RedisModuleString *))                    \
    F(void, FreeString, (RedisModuleCtx *, RedisModuleString *))                                   \
    F(RedisModuleKey *, OpenKey, (RedisModuleCtx *, RedisModuleString *name, int mode))            \
    F(void, CloseKey, (RedisModuleKey *))                                                          \
    F(int, DeleteKey, (RedisModuleKey *))                                                          \
    F(int, KeyType, (RedisModuleKey *))                                                            \
    F(int, ModuleTypeSetValue, (RedisModuleKey *, RedisModuleType *, void *value))                 \
    F(RedisModuleType *, ModuleTypeGetType, (RedisModuleKey *))                                    \
    F(void *, ModuleTypeGetValue, (RedisModuleKey *))                                              \
    F(RedisModuleDict *, CreateDict, (RedisModuleCtx *))                                           \
    F(void, FreeDict, (RedisModuleCtx *, RedisModuleDict *))                                       \
    F(int, DictSet, (RedisModuleDict *, RedisModuleString *key, void *value))                      \
    F(int, DictReplace, (RedisModuleDict *, RedisModuleString *key, void *value))                  \
    F(void *, DictGet, (RedisModuleDict *, RedisModuleString *key, int *missing))                  \
    F(RedisModuleBlockedClient *, BlockClient,                                                     \
      (RedisModuleCtx *, RedisModuleCmdFunc reply, RedisModuleCmdFunc on_timeout,                  \
       void (*free_private_data)(RedisModuleCtx *, void *), long long timeout_ms))                 \
    F(int, UnblockClient, (RedisModuleBlockedClient *, void *private_data))                        \
    F(void *, GetBlockedClientPrivateData, (RedisModuleCtx *))                                     \
    F(int, BlockedClientMeasureTimeStart, (RedisModuleBlockedClient *))                            \
    F(int, BlockedClientMeasureTimeEnd, (RedisModuleBlockedClient *))                              \
    F(int, InfoAddSection, (RedisModuleInfoCtx *, const char *name))                               \
    F(int, InfoAddFieldCString, (RedisModuleInfoCtx *, const char *name, const char *value))       \
    F(int, InfoAddFieldLongLong, (RedisModuleInfoCtx *, const char *name, long long value))        \
    F(int, InfoBeginDictField, (RedisModuleInfoCtx *, const char *name))                           \
    F(int, InfoEndDictField, (RedisModuleInfoCtx *))                                               \
    F(void, SaveUnsigned, (RedisModuleIO *, uint64_t))                                             \
    F(uint64_t, LoadUnsigned, (RedisModuleIO *))                                                   \
    F(void, SaveStringBuffer, (RedisModuleIO *, const char *data, size_t bytes))                   \
    F(char *, LoadStringBuffer, (RedisModuleIO *, size_t *bytes))                                  \
    F(int, IsIOError, (RedisModuleIO *))                                                           \
    F(void, LogIOError, (RedisModuleIO *, const char *level, const char *format, ...))             \
    F(const RedisModuleString *, GetKeyNameFromIO, (RedisModuleIO *))                              \
    F(int, GetDbIdFromIO, (RedisModuleIO *))

#define DECLARE_FUNCTION(result, name, arguments) extern result(*RedisModule_##name) arguments;
REDISMODULE_FUNCTIONS(DECLARE_FUNCTION)
#undef DECLARE_FUNCTION

/* Looks every function up; the name of the first that the server lacks, or NULL when all are there. */
const char *redismodule_api_load(RedisModuleCtx *ctx);

#endif
