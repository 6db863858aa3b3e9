#include "server_info.h"

#include <stdio.h>
#include <sys/resource.h>

#include "config.h"
#include "model_type.h"
#include "openvino_api.h"
#include "queue.h"

/* CPU time, with the fields and the digits of RedisAI. */
static void add_cpu_time(RedisModuleInfoCtx *ctx, const char *who, int usage_of)
{
    struct rusage usage;
    char name[64], value[64];
    getrusage(usage_of, &usage);
    snprintf(name, sizeof(name), "%s_used_cpu_sys", who);
    snprintf(value, sizeof(value), "%ld.%06ld", usage.ru_stime.tv_sec, usage.ru_stime.tv_usec);
    RedisModule_InfoAddFieldCString(ctx, name, value);
    snprintf(name, sizeof(name), "%s_used_cpu_user", who);
    snprintf(value, sizeof(value), "%ld.%06ld", usage.ru_utime.tv_sec, usage.ru_utime.tv_usec);
    RedisModule_InfoAddFieldCString(ctx, name, value);
}

static void add_cpu(RedisModuleInfoCtx *ctx)
{
    RedisModule_InfoAddSection(ctx, "cpu");
    add_cpu_time(ctx, "self", RUSAGE_SELF);
    add_cpu_time(ctx, "children", RUSAGE_CHILDREN);
    add_cpu_time(ctx, "main_thread", RUSAGE_THREAD);
    double seconds;
    for (int i = 0; queue_thread_cpu_s(i, &seconds); i++) {
        char name[64], value[64];
        snprintf(value, sizeof(value), "%f", seconds);
        /* RedisAI 1.0's name, and 1.2's */
        snprintf(name, sizeof(name), "queue_CPU_bthread_#%d_used_cpu_total", i + 1);
        RedisModule_InfoAddFieldCString(ctx, name, value);
        snprintf(name, sizeof(name), "queue_CPU_bthread_n%d_used_cpu_total", i + 1);
        RedisModule_InfoAddFieldCString(ctx, name, value);
    }
}

static void add_models(RedisModuleInfoCtx *ctx)
{
    ModelList models = models_list();
    long long blob_bytes = 0;
    for (size_t i = 0; i < models.count; i++)
        blob_bytes += (long long)models.items[i]->blob.bytes;
    RedisModule_InfoAddSection(ctx, "memory");
    RedisModule_InfoAddFieldLongLong(ctx, "models", (long long)models.count);
    RedisModule_InfoAddFieldLongLong(ctx, "model_blobs_bytes", blob_bytes);

    RedisModule_InfoAddSection(ctx, "batches");
    for (size_t i = 0; i < models.count; i++) {
        const Model *model = models.items[i];
        char name[256];
        snprintf(name, sizeof(name), "batch_%s", model->key);
        RedisModule_InfoBeginDictField(ctx, name);
        RedisModule_InfoAddFieldLongLong(ctx, "executions", model->stats.executions);
        RedisModule_InfoAddFieldLongLong(ctx, "rows", model->stats.rows);
        RedisModule_InfoEndDictField(ctx);
    }
    models_release(&models);
}

void server_info(RedisModuleInfoCtx *ctx, int for_crash_report)
{
    RedisModule_InfoAddSection(ctx, "versions");
    RedisModule_InfoAddFieldCString(ctx, "RedisAI_version", "1.2.7"); /* whose commands these are */
    RedisModule_InfoAddFieldLongLong(ctx, "low_level_API_version", 1);
    RedisModule_InfoAddFieldLongLong(ctx, "rdb_version", 4);
    /* Distinguishes this server from a RedisAI. */
    RedisModule_InfoAddFieldCString(ctx, "embedded", "aibench-fast");
    RedisModule_InfoAddFieldCString(ctx, "embedded_version",
                                    config.version ? config.version : "unknown");

    RedisModule_InfoAddSection(ctx, "git");
    RedisModule_InfoAddFieldCString(ctx, "git_sha", "unknown");

    RedisModule_InfoAddSection(ctx, "load_time_configs");
    RedisModule_InfoAddFieldLongLong(ctx, "threads_per_queue", config.threads_per_queue);
    RedisModule_InfoAddFieldLongLong(ctx, "inter_op_parallelism", 0);
    RedisModule_InfoAddFieldLongLong(ctx, "intra_op_parallelism", config.intra_op_parallelism);
    RedisModule_InfoAddFieldLongLong(ctx, "model_execution_timeout", 0);
    RedisModule_InfoAddFieldLongLong(ctx, "backend_memory_limit", 0);

    RedisModule_InfoAddSection(ctx, "backends_info");
    if (openvino.version) {
        RedisModule_InfoAddFieldCString(ctx, "OpenVINO_version", openvino.version);
        RedisModule_InfoAddFieldCString(ctx, "OpenVINO_precision", "f32");
    }

    add_cpu(ctx);
    if (!for_crash_report) /* a crash may have come while the list was locked */
        add_models(ctx);
}
