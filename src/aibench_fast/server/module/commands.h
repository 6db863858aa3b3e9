/* The AI.* commands, by what they are about; each is called by the server on its main thread. */
#ifndef AIBENCH_COMMANDS_H
#define AIBENCH_COMMANDS_H

#include "redismodule_api.h"

#define COMMAND(name) int name(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)

COMMAND(tensorset_command);
COMMAND(tensorget_command);

COMMAND(modelset_command);
COMMAND(modelstore_command);
COMMAND(modelget_command);
COMMAND(modeldel_command);
COMMAND(modelscan_command);

COMMAND(modelrun_command);
COMMAND(modelexecute_command);

COMMAND(dagrun_command);
COMMAND(dagrun_ro_command);
COMMAND(dagexecute_command);
COMMAND(dagexecute_ro_command);

COMMAND(info_command);

COMMAND(scriptset_command);
COMMAND(scriptstore_command);
COMMAND(scriptget_command);
COMMAND(scriptdel_command);
COMMAND(scriptrun_command);
COMMAND(scriptexecute_command);
COMMAND(scriptscan_command);

#undef COMMAND

#endif
