/* AI.SCRIPT*: as a RedisAI without TORCH answers them. None is ever stored, so that every key of one is
 * empty. */
#include "commands.h"
#include "reply.h"
#include "script_commands.h"

int script_missing(RedisModuleCtx *ctx, RedisModuleString *name, Error *error)
{
    static const ValueKind script_kind = {
        NULL, "ERR script key is empty: the embedded server has no TORCH, and so no scripts"};
    keyspace_get(ctx, &script_kind, name, error);
    return REDISMODULE_ERR;
}

static int store_refused(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    return reply_error(ctx, argv, argc,
                       "ERR Could not load backend: the embedded server has no TORCH, and so no "
                       "scripts");
}

/* AI.SCRIPTSET key device [TAG t] SOURCE code */
int scriptset_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    return argc == 5 || argc == 7 ? store_refused(ctx, argv, argc) : RedisModule_WrongArity(ctx);
}

/* AI.SCRIPTSTORE key device [TAG t] ENTRY_POINTS count name... SOURCE code */
int scriptstore_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    return argc >= 8 ? store_refused(ctx, argv, argc) : RedisModule_WrongArity(ctx);
}

static int missing(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    Error error;
    script_missing(ctx, argv[1], &error);
    return reply_error(ctx, argv, argc, error.text);
}

/* AI.SCRIPTGET key [META] [SOURCE] */
int scriptget_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    return argc >= 2 && argc <= 4 ? missing(ctx, argv, argc) : RedisModule_WrongArity(ctx);
}

int scriptdel_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    return argc == 2 ? missing(ctx, argv, argc) : RedisModule_WrongArity(ctx);
}

/* AI.SCRIPTRUN key function ... */
int scriptrun_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    if (argc < 3)
        return reply_error(ctx, argv, argc,
                           "ERR wrong number of arguments for 'AI.SCRIPTRUN' command");
    return missing(ctx, argv, argc);
}

/* AI.SCRIPTEXECUTE key function ... */
int scriptexecute_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    if (argc < 3)
        return reply_error(ctx, argv, argc,
                           "ERR wrong number of arguments for 'AI.SCRIPTEXECUTE' command");
    return missing(ctx, argv, argc);
}

int scriptscan_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    (void)argv;
    return argc == 1 ? RedisModule_ReplyWithArray(ctx, 0) : RedisModule_WrongArity(ctx);
}
