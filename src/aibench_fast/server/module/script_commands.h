/* Scripts, of which there are none. Main thread. */
#ifndef AIBENCH_SCRIPT_COMMANDS_H
#define AIBENCH_SCRIPT_COMMANDS_H

#include "keyspace.h"

/* Sets the error of a script's key, which holds nothing or a value of another kind, and returns
 * REDISMODULE_ERR. */
int script_missing(RedisModuleCtx *ctx, RedisModuleString *name, Error *error);

#endif
