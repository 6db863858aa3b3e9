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
    {"ai.tensorset", tensorset_command, "write deny-oom", 1, 1, 1},
    {"ai.tensorget", tensorget_command, "readonly", 1, 1, 1},
    {"ai.modelset", modelset_command, "write deny-oom", 1, 1, 1},
    {"ai.modelstore", modelstore_command, "write deny-oom", 1, 1, 1},
    {"ai.modelget", modelget_command, "readonly", 1, 1, 1},
    {"ai.modeldel", modeldel_command, "write", 1, 1, 1},
    {"ai._modelscan", modelscan_command, "readonly", 0, 0, 0},
    {"ai.modelrun", modelrun_command, "write deny-oom getkeys-api", 3, 3, 1},
    {"ai.modelexecute", modelexecute_command, "write deny-oom getkeys-api", 4, 4, 1},
    {"ai.dagrun", dagrun_command, "write deny-oom getkeys-api", 3, 3, 1},
    {"ai.dagrun_ro", dagrun_ro_command, "readonly getkeys-api", 3, 3, 1},
    {"ai.dagexecute", dagexecute_command, "write deny-oom getkeys-api", 3, 3, 1},
    {"ai.dagexecute_ro", dagexecute_ro_command, "readonly getkeys-api", 3, 3, 1},
    {"ai.info", info_command, "readonly", 1, 1, 1},
    {"ai.config", config_command, "write", 0, 0, 0},
    {"ai.scriptset", scriptset_command, "write deny-oom", 1, 1, 1},
    {"ai.scriptstore", scriptstore_command, "write deny-oom", 1, 1, 1},
    {"ai.scriptget", scriptget_command, "readonly", 1, 1, 1},
    {"ai.scriptdel", scriptdel_command, "write", 1, 1, 1},
    {"ai.scriptrun", scriptrun_command, "write deny-oom", 1, 1, 1},
    {"ai.scriptexecute", scriptexecute_command, "write deny-oom", 1, 1, 1},
    {"ai._scriptscan", scriptscan_command, "readonly", 0, 0, 0},
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
