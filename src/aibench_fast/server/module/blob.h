/* Bytes that came with a command, held without a copy, or bytes of our own.
 *
 * A blob is freed once, by blob_free. One that holds a client's string must be freed where the
 * server may drop that string: on the main thread, or after the command that brought it is over.
 */
#ifndef AIBENCH_BLOB_H
#define AIBENCH_BLOB_H

#include "redismodule_api.h"

typedef struct Blob {
    const char *data;
    size_t bytes;
    RedisModuleString *string; /* the client's string that owns the bytes; NULL: they are ours */
} Blob;

/* Bytes of our own, not set to anything; `bytes` may be 0. Any thread. */
Blob blob_create(size_t bytes);

/* The bytes of a command's argument. Main thread only. */
Blob blob_hold(RedisModuleCtx *ctx, RedisModuleString *argument);

void blob_free(Blob *blob);

#endif
