/* The arguments of AI.MODELRUN and AI.MODELEXECUTE, which are commands and steps of a DAG. Main
 * thread. */
#ifndef AIBENCH_RUN_COMMANDS_H
#define AIBENCH_RUN_COMMANDS_H

#include "arguments.h"
#include "job.h"

typedef enum RunDialect { DIALECT_MODELRUN, DIALECT_MODELEXECUTE } RunDialect;

/* Everything is borrowed from the command's arguments and the keyspace. */
typedef struct RunArguments {
    Model *model;
    RedisModuleString **inputs, **outputs;
    size_t input_count, output_count; /* as many as the model has */
    int64_t deadline_ns;              /* TIMEOUT, from now on; 0: none */
} RunArguments;

/* Reads the command, whose name is argv[0], and finds its model. */
int run_parse(RedisModuleCtx *ctx, RunDialect dialect, RedisModuleString **argv, int argc,
              RunArguments *run, Error *error);

/* Reads the value after the word TIMEOUT, in milliseconds. */
int timeout_parse(Arguments *arguments, int64_t *deadline_ns, Error *error);

/* Tells the server which of the arguments are keys. */
void run_report_keys(RedisModuleCtx *ctx, RunDialect dialect, RedisModuleString **argv, int argc);

#endif
