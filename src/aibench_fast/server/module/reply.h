/* What several commands answer. Main thread. */
#ifndef AIBENCH_REPLY_H
#define AIBENCH_REPLY_H

#include "error.h"
#include "model.h"
#include "redismodule_api.h"

/* Replies with the error, followed by the command and the key that it was about. */
int reply_error(RedisModuleCtx *ctx, RedisModuleString **argv, int argc, const char *text);

/* Three names with their values, the first that are reported of a model. */
void reply_model_identity(RedisModuleCtx *ctx, const Model *model);

#endif
