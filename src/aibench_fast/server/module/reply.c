#include "reply.h"

#include "arguments.h"

int reply_error(RedisModuleCtx *ctx, RedisModuleString **argv, int argc, const char *text)
{
    Error error;
    error_set(&error, "%.300s [%.20s%s%.48s]", text, argument_text(argv[0]), argc > 1 ? " " : "",
              argc > 1 ? argument_text(argv[1]) : "");
    return RedisModule_ReplyWithError(ctx, error.text);
}

void reply_model_identity(RedisModuleCtx *ctx, const Model *model)
{
    RedisModule_ReplyWithCString(ctx, "backend");
    RedisModule_ReplyWithCString(ctx, model->engine->backend);
    RedisModule_ReplyWithCString(ctx, "device");
    RedisModule_ReplyWithCString(ctx, model->device);
    RedisModule_ReplyWithCString(ctx, "tag");
    RedisModule_ReplyWithCString(ctx, model->tag);
}
