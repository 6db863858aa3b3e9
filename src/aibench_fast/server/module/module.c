/* The AI.* commands as a module of Valkey or Redis: its start. */
#include "commands.h"
#include "config.h"
#include "error.h"
#include "lifeline.h"
#include "model_type.h"
#include "queue.h"
#include "server_info.h"
#include "tensor_type.h"

#define REDISAI_VERSION 10207 /* whose commands these are */

typedef struct Command {
    const char *name;
    RedisModuleCmdFunc function;
    const char *flags;
    int first_key, last_key, key_step;
} Command;

/* Flags and positions as RedisAI 1.2.7 reports them. Where keys are at no fixed place, the positions
 * mean little; "getkeys-api" lets the server ask the command. */
static const Command COMMANDS[] = {
    {"AI.TENSORSET", tensorset_command, "write deny-oom", 1, 1, 1},
    {"AI.TENSORGET", tensorget_command, "readonly", 1, 1, 1},
    {"AI.MODELSET", modelset_command, "write deny-oom", 1, 1, 1},
    {"AI.MODELSTORE", modelstore_command, "write deny-oom", 1, 1, 1},
    {"AI.MODELGET", modelget_command, "readonly", 1, 1, 1},
    {"AI.MODELDEL", modeldel_command, "write", 1, 1, 1},
    {"AI._MODELSCAN", modelscan_command, "readonly", 0, 0, 0},
    {"AI.MODELRUN", modelrun_command, "write deny-oom getkeys-api", 3, 3, 1},
    {"AI.MODELEXECUTE", modelexecute_command, "write deny-oom getkeys-api", 4, 4, 1},
    {"AI.DAGRUN", dagrun_command, "write deny-oom getkeys-api", 3, 3, 1},
    {"AI.DAGRUN_RO", dagrun_ro_command, "readonly getkeys-api", 3, 3, 1},
    {"AI.DAGEXECUTE", dagexecute_command, "write deny-oom getkeys-api", 3, 3, 1},
    {"AI.DAGEXECUTE_RO", dagexecute_ro_command, "readonly getkeys-api", 3, 3, 1},
    {"AI.INFO", info_command, "readonly", 1, 1, 1},
    {"AI.CONFIG", config_command, "write", 0, 0, 0},
    {"AI.SCRIPTSET", script_command, "write deny-oom", 1, 1, 1},
    {"AI.SCRIPTSTORE", script_command, "write deny-oom", 1, 1, 1},
    {"AI.SCRIPTGET", script_command, "readonly", 1, 1, 1},
    {"AI.SCRIPTDEL", script_command, "write", 1, 1, 1},
    {"AI.SCRIPTRUN", script_command, "write deny-oom", 1, 1, 1},
    {"AI.SCRIPTEXECUTE", script_command, "write deny-oom", 1, 1, 1},
    {"AI._SCRIPTSCAN", script_command, "readonly", 0, 0, 0},
};

static int start(RedisModuleCtx *ctx, RedisModuleString **argv, int argc, Error *error)
{
    if (config_load(argv, argc, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    if (tensor_type_register(ctx) != REDISMODULE_OK || model_type_register(ctx) != REDISMODULE_OK)
        return error_set(error, "the server refused a data type");
    for (size_t i = 0; i < sizeof(COMMANDS) / sizeof(COMMANDS[0]); i++) {
        const Command *command = &COMMANDS[i];
        if (RedisModule_CreateCommand(ctx, command->name, command->function, command->flags,
                                      command->first_key, command->last_key,
                                      command->key_step) != REDISMODULE_OK)
            return error_set(error, "the server refused the command %s", command->name);
    }
    if (config.lifeline >= 0 && lifeline_watch((int)config.lifeline, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    RedisModule_RegisterInfoFunc(ctx, server_info);
    RedisModule_SetModuleOptions(ctx, REDISMODULE_OPTIONS_HANDLE_IO_ERRORS);
    return queue_start((int)config.threads_per_queue, error);
}

__attribute__((visibility("default"))) int RedisModule_OnLoad(RedisModuleCtx *ctx,
                                                              RedisModuleString **argv, int argc);

int RedisModule_OnLoad(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    const char *lacking = redismodule_api_load(ctx);
    if (lacking)
        return REDISMODULE_ERR; /* it cannot be said: the function that logs may be the one */
    RedisModule_SetModuleAttribs(ctx, "ai", REDISAI_VERSION, REDISMODULE_APIVER_1);
    Error error;
    if (start(ctx, argv, argc, &error) != REDISMODULE_OK) {
        RedisModule_Log(ctx, "warning", "cannot start: %s", error.text);
        return REDISMODULE_ERR;
    }
    return REDISMODULE_OK;
}
