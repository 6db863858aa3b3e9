#include "config.h"

#include "arguments.h"
#include "engine.h"

#define MAX_THREADS 1024

Config config = {
    .threads_per_queue = 1,
    .lifeline = -1,
    .model_chunk_bytes = (long long)511 << 20, /* RedisAI's default: below the largest string */
};

static void set_text(char **setting, const RedisModuleString *value)
{
    RedisModule_Free(*setting);
    *setting = RedisModule_Strdup(argument_text(value));
}

int config_load(RedisModuleString **argv, int argc, Error *error)
{
    Arguments arguments = {argv, argc, 0};
    while (arguments_left(&arguments) > 1) {
        if (arguments_take_word(&arguments, "THREADS_PER_QUEUE")) {
            if (!arguments_take_integer(&arguments, 1, &config.threads_per_queue) ||
                config.threads_per_queue > MAX_THREADS)
                return error_set(error, "THREADS_PER_QUEUE is not 1 to %d", MAX_THREADS);
        } else if (arguments_take_word(&arguments, "INTRA_OP_PARALLELISM")) {
            if (!arguments_take_integer(&arguments, 0, &config.intra_op_parallelism) ||
                config.intra_op_parallelism > MAX_THREADS)
                return error_set(error, "INTRA_OP_PARALLELISM is not 0 to %d", MAX_THREADS);
        } else if (arguments_take_word(&arguments, "OPENVINO")) {
            set_text(&config.openvino_library, argv[arguments.next++]);
        } else if (arguments_take_word(&arguments, "VERSION")) {
            set_text(&config.version, argv[arguments.next++]);
        } else if (arguments_take_word(&arguments, "LIFELINE")) {
            if (!arguments_take_integer(&arguments, 0, &config.lifeline))
                return error_set(error, "LIFELINE is not a file descriptor");
        } else {
            break;
        }
    }
    if (arguments_left(&arguments) > 0)
        return error_set(error, "unknown module argument '%s'",
                         argument_text(argv[arguments.next]));
    return REDISMODULE_OK;
}

/* RedisAI opens the backend's library here. The one engine behind all backends of this module is
 * opened when the first model needs it, so a known backend is all that can be asked for. */
static int load_backend(RedisModuleCtx *ctx, Arguments *arguments)
{
    if (arguments_left(arguments) != 2)
        return RedisModule_WrongArity(ctx);
    const char *backend = argument_text(arguments->argv[arguments->next]);
    if (!engine_find(backend))
        return RedisModule_ReplyWithError(ctx, engine_absence(backend));
    return RedisModule_ReplyWithSimpleString(ctx, "OK");
}

static int get(RedisModuleCtx *ctx, Arguments *arguments)
{
    if (arguments_left(arguments) == 0)
        return RedisModule_WrongArity(ctx);
    if (arguments_take_word(arguments, "BACKENDSPATH"))
        return config.backends_path ? RedisModule_ReplyWithCString(ctx, config.backends_path)
                                    : RedisModule_ReplyWithNull(ctx);
    if (arguments_take_word(arguments, "MODEL_CHUNK_SIZE"))
        return RedisModule_ReplyWithLongLong(ctx, config.model_chunk_bytes);
    return RedisModule_ReplyWithNull(ctx);
}

int config_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    Arguments arguments = {argv, argc, 1};
    if (argc < 2)
        return RedisModule_WrongArity(ctx);
    if (arguments_take_word(&arguments, "LOADBACKEND"))
        return load_backend(ctx, &arguments);
    if (arguments_take_word(&arguments, "GET"))
        return get(ctx, &arguments);
    if (arguments_take_word(&arguments, "BACKENDSPATH")) {
        if (arguments_left(&arguments) == 0)
            return RedisModule_ReplyWithError(ctx, "ERR BACKENDSPATH: missing path argument");
        set_text(&config.backends_path, argv[arguments.next]);
        return RedisModule_ReplyWithSimpleString(ctx, "OK");
    }
    if (arguments_take_word(&arguments, "MODEL_CHUNK_SIZE")) {
        long long bytes;
        if (arguments_left(&arguments) == 0)
            return RedisModule_ReplyWithError(ctx, "ERR MODEL_CHUNK_SIZE: missing chunk size");
        if (!arguments_take_integer(&arguments, 1, &bytes))
            return RedisModule_ReplyWithError(ctx, "ERR MODEL_CHUNK_SIZE: invalid chunk size");
        config.model_chunk_bytes = bytes;
        return RedisModule_ReplyWithSimpleString(ctx, "OK");
    }
    return RedisModule_ReplyWithError(ctx, "ERR unsupported subcommand");
}
