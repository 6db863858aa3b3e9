/* The module's sections of INFO MODULES. */
#ifndef AIBENCH_SERVER_INFO_H
#define AIBENCH_SERVER_INFO_H

#include "redismodule_api.h"

void server_info(RedisModuleInfoCtx *ctx, int for_crash_report);

#endif
