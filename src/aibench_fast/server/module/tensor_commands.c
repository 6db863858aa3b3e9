#include "commands.h"
#include "reply.h"
#include "tensor_format.h"
#include "tensor_type.h"

int tensorset_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    if (argc < 4)
        return RedisModule_WrongArity(ctx);
    Error error;
    Tensor *tensor;
    Arguments arguments = {argv, argc, 2};
    if (tensor_parse(ctx, &arguments, &tensor, &error) != REDISMODULE_OK)
        return reply_error(ctx, argv, argc, error.text);
    if (keyspace_set(ctx, &tensor_kind, argv[1], tensor, &error) != REDISMODULE_OK) {
        tensor_release(tensor);
        return reply_error(ctx, argv, argc, error.text);
    }
    RedisModule_ReplicateVerbatim(ctx);
    return RedisModule_ReplyWithSimpleString(ctx, "OK");
}

int tensorget_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    if (argc < 2 || argc > 4)
        return RedisModule_WrongArity(ctx);
    Error error;
    int format;
    Arguments arguments = {argv, argc, 2};
    const Tensor *tensor = keyspace_get(ctx, &tensor_kind, argv[1], &error);
    if (!tensor || tensor_parse_format(&arguments, &format, &error) != REDISMODULE_OK)
        return reply_error(ctx, argv, argc, error.text);
    return tensor_reply(ctx, tensor, format);
}
