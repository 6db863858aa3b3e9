/* AI.INFO. */
#include "arguments.h"
#include "commands.h"
#include "model_type.h"
#include "reply.h"

static void reply_stats(RedisModuleCtx *ctx, RedisModuleString *key, const Model *model)
{
    RedisModule_ReplyWithArray(ctx, 18);
    RedisModule_ReplyWithCString(ctx, "key");
    RedisModule_ReplyWithString(ctx, key);
    RedisModule_ReplyWithCString(ctx, "type");
    RedisModule_ReplyWithCString(ctx, "MODEL");
    reply_model_identity(ctx, model);
    RedisModule_ReplyWithCString(ctx, "duration");
    RedisModule_ReplyWithLongLong(ctx, model->stats.duration_us);
    RedisModule_ReplyWithCString(ctx, "samples");
    RedisModule_ReplyWithLongLong(ctx, model->stats.samples);
    RedisModule_ReplyWithCString(ctx, "calls");
    RedisModule_ReplyWithLongLong(ctx, model->stats.calls);
    RedisModule_ReplyWithCString(ctx, "errors");
    RedisModule_ReplyWithLongLong(ctx, model->stats.errors);
}

/* AI.INFO key [RESETSTAT]; RedisAI answers any other word as if it were not there. */
int info_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    if (argc < 2 || argc > 3)
        return RedisModule_WrongArity(ctx);
    Error error;
    Model *model = keyspace_get(ctx, &model_kind, argv[1], &error);
    if (!model)
        return reply_error(ctx, argv, argc, "ERR cannot find run info for key");
    if (argc == 2 || !argument_is(argv[2], "RESETSTAT")) {
        reply_stats(ctx, argv[1], model);
        return REDISMODULE_OK;
    }
    model_reset_stats(model);
    return RedisModule_ReplyWithSimpleString(ctx, "OK");
}
