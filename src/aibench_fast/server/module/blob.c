#include "blob.h"

#include <string.h>

Blob blob_create(size_t bytes) { return (Blob){RedisModule_Alloc(bytes), bytes, NULL}; }

Blob blob_hold(RedisModuleCtx *ctx, RedisModuleString *argument)
{
    Blob blob = {0};
    /* Inside a transaction or a script the argument outlives this command, and a FLUSHALL ASYNC
     * later in the same transaction could free ours on the server's background thread meanwhile. */
    int flags = RedisModule_GetContextFlags(ctx);
    if (flags & (REDISMODULE_CTX_FLAGS_MULTI | REDISMODULE_CTX_FLAGS_LUA)) {
        size_t bytes;
        const char *data = RedisModule_StringPtrLen(argument, &bytes);
        blob = blob_create(bytes);
        memcpy((char *)blob.data, data, bytes);
        return blob;
    }
    /* HoldString with a context would tie the string to this command's end. */
    blob.string = RedisModule_HoldString(NULL, argument);
    blob.data = RedisModule_StringPtrLen(blob.string, &blob.bytes);
    return blob;
}

void blob_free(Blob *blob)
{
    if (blob->string)
        RedisModule_FreeString(NULL, blob->string);
    else
        RedisModule_Free((char *)blob->data);
}
