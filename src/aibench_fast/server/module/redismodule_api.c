#include "redismodule_api.h"

#define DEFINE_FUNCTION(result, name, arguments) result(*RedisModule_##name) arguments;
REDISMODULE_FUNCTIONS(DEFINE_FUNCTION)
#undef DEFINE_FUNCTION

typedef int (*GetApi)(const char *name, void *function);

const char *redismodule_api_load(RedisModuleCtx *ctx)
{
    /* The look-up function is the context's first member: the one thing known without a look-up. */
    GetApi get_api = *(GetApi *)ctx;
#define LOAD_FUNCTION(result, name, arguments)                                                     \
    if (get_api("RedisModule_" #name, (void *)&RedisModule_##name) != REDISMODULE_OK)              \
        return #name;
    REDISMODULE_FUNCTIONS(LOAD_FUNCTION)
#undef LOAD_FUNCTION
    return NULL;
}
