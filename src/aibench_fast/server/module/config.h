/* The module's settings: its load-time arguments, and what AI.CONFIG changes. Main thread only,
 * except that the load-time ones never change after config_load. */
#ifndef AIBENCH_CONFIG_H
#define AIBENCH_CONFIG_H

#include "error.h"
#include "redismodule_api.h"

typedef struct Config {
    /* load-time arguments: a word and a value each */
    long long threads_per_queue;    /* THREADS_PER_QUEUE: 1 or more */
    long long intra_op_parallelism; /* INTRA_OP_PARALLELISM: threads of the engine; 0: every core */
    char *openvino_library;         /* OPENVINO: path of OpenVINO's C library; NULL: not there */
    char *version;                  /* VERSION: of the package that brings this module */
    long long lifeline;             /* LIFELINE: a pipe's end (lifeline.h); -1: none */
    /* AI.CONFIG */
    char *backends_path;
    long long model_chunk_bytes;
} Config;

extern Config config;

/* Reads the arguments of --loadmodule. */
int config_load(RedisModuleString **argv, int argc, Error *error);

int config_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

#endif
