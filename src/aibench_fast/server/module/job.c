#include "job.h"

#include <time.h>

#include "reply.h"
#include "tensor_format.h"
#include "tensor_type.h"

int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- building ---- */

Job *job_create(bool is_dag)
{
    Job *job = RedisModule_Calloc(1, sizeof(*job));
    job->is_dag = is_dag;
    return job;
}

void job_free(Job *job)
{
    for (size_t i = 0; i < job->step_count; i++) {
        RedisModule_Free(job->steps[i].error);
        RedisModule_Free(job->steps[i].slots);
        model_release(job->steps[i].model);
    }
    for (size_t i = 0; i < job->slot_count; i++)
        tensor_release(job->slots[i]);
    for (size_t i = 0; i < job->persist_count; i++)
        RedisModule_FreeString(NULL, job->persists[i].key);
    RedisModule_Free(job->steps);
    RedisModule_Free(job->slots);
    RedisModule_Free(job->persists);
    RedisModule_Free(job);
}

/* Room for one more item in a list that doubles as it grows. */
static void *grow(void *items, size_t count, size_t *capacity, size_t item_bytes)
{
    if (count < *capacity)
        return items;
    *capacity = *capacity ? *capacity * 2 : 2;
    return RedisModule_Realloc(items, *capacity * item_bytes);
}

Step *job_add_step(Job *job, StepKind kind)
{
    job->steps = grow(job->steps, job->step_count, &job->step_capacity, sizeof(*job->steps));
    Step *step = &job->steps[job->step_count++];
    *step = (Step){.kind = kind};
    if (kind != STEP_MODELRUN)
        step->slots = RedisModule_Calloc(1, sizeof(*step->slots));
    return step;
}

size_t job_add_slot(Job *job, Tensor *tensor)
{
    job->slots = grow(job->slots, job->slot_count, &job->slot_capacity, sizeof(*job->slots));
    job->slots[job->slot_count] = tensor;
    return job->slot_count++;
}

void job_add_persist(Job *job, RedisModuleString *key, size_t slot)
{
    job->persists =
        grow(job->persists, job->persist_count, &job->persist_capacity, sizeof(*job->persists));
    job->persists[job->persist_count++] = (Persist){RedisModule_HoldString(NULL, key), slot};
}

void step_set_model(Step *step, Model *model)
{
    step->model = model_retain(model);
    step->input_count = model->inputs.count;
    step->output_count = model->outputs.count;
    step->slots =
        RedisModule_Calloc(step->input_count + step->output_count, sizeof(*step->slots));
}

/* ---- running ---- */

Step *job_current_run(Job *job)
{
    for (; job->next_step < job->step_count; job->next_step++) {
        Step *step = &job->steps[job->next_step];
        if (step->state == STEP_FAILED)
            return NULL;
        if (step->kind == STEP_MODELRUN && step->state == STEP_WAITING)
            return step;
        step->state = STEP_DONE;
    }
    return NULL;
}

int64_t job_rows(const Job *job, const Step *run)
{
    return tensor_rows(job->slots[run->slots[0]]);
}

/* A request whose tensor arrays are to be freed. */
static EngineRequest request_create(const Job *job, const Step *run)
{
    EngineRequest request = {
        RedisModule_Calloc(run->input_count, sizeof(Tensor *)),
        RedisModule_Calloc(run->output_count, sizeof(Tensor *)),
    };
    for (size_t i = 0; i < run->input_count; i++)
        request.inputs[i] = job->slots[run->slots[i]];
    return request;
}

static void count_execution(Model *model, const EngineRequest *requests, size_t count, bool ok,
                            int64_t duration_us)
{
    ModelStats *stats = &model->stats;
    int64_t rows = 0;
    for (size_t i = 0; i < count; i++)
        rows += tensor_rows(requests[i].inputs[0]);
    stats->calls += (int64_t)count;
    if (!ok) {
        stats->errors += (int64_t)count;
        return;
    }
    stats->duration_us += duration_us * (int64_t)count;
    stats->samples += rows;
    stats->executions++;
    stats->rows += rows;
}

void jobs_execute(Job **jobs, size_t count)
{
    Step *first = job_current_run(jobs[0]);
    Model *model = first->model;
    EngineRequest *requests = RedisModule_Alloc(count * sizeof(*requests));
    for (size_t i = 0; i < count; i++)
        requests[i] = request_create(jobs[i], job_current_run(jobs[i]));

    Error error;
    int64_t start_ns = monotonic_ns();
    bool ok = model->engine->run(model->engine_model, requests, count, &error) == REDISMODULE_OK;
    count_execution(model, requests, count, ok, (monotonic_ns() - start_ns) / 1000);

    for (size_t i = 0; i < count; i++) {
        Step *run = job_current_run(jobs[i]);
        for (size_t o = 0; o < run->output_count; o++)
            jobs[i]->slots[run->slots[run->input_count + o]] = requests[i].outputs[o];
        run->state = ok ? STEP_DONE : STEP_FAILED;
        if (!ok)
            run->error = RedisModule_Strdup(error.text);
        RedisModule_Free(requests[i].inputs);
        RedisModule_Free(requests[i].outputs);
    }
    RedisModule_Free(requests);
}

/* ---- replying ---- */

static const Step *failed_step(const Job *job)
{
    for (size_t i = 0; i < job->step_count; i++)
        if (job->steps[i].state == STEP_FAILED)
            return &job->steps[i];
    return NULL;
}

static int persist(RedisModuleCtx *ctx, const Job *job, Error *error)
{
    for (size_t i = 0; i < job->persist_count; i++) {
        Tensor *tensor = tensor_retain(job->slots[job->persists[i].slot]);
        if (keyspace_set(ctx, &tensor_kind, job->persists[i].key, tensor, error) !=
            REDISMODULE_OK) {
            tensor_release(tensor);
            return REDISMODULE_ERR;
        }
    }
    return REDISMODULE_OK;
}

static void reply_step(RedisModuleCtx *ctx, const Job *job, const Step *step)
{
    if (step->state == STEP_FAILED)
        RedisModule_ReplyWithError(ctx, step->error);
    else if (step->state == STEP_WAITING)
        RedisModule_ReplyWithSimpleString(ctx, "NA");
    else if (step->kind == STEP_TENSORGET)
        tensor_reply(ctx, job->slots[step->slots[0]], step->format);
    else
        RedisModule_ReplyWithSimpleString(ctx, "OK");
}

int job_reply(RedisModuleCtx *ctx, RedisModuleString **argv, int argc, Job *job)
{
    if (job->timed_out)
        return RedisModule_ReplyWithSimpleString(ctx, "TIMEDOUT");
    Error error;
    const Step *failed = failed_step(job);
    bool persisted = failed || persist(ctx, job, &error) == REDISMODULE_OK;
    if (!job->is_dag) {
        if (failed)
            return reply_error(ctx, argv, argc, failed->error);
        return persisted ? RedisModule_ReplyWithSimpleString(ctx, "OK")
                         : reply_error(ctx, argv, argc, error.text);
    }
    /* RedisAI appends the error of a key that cannot be written after the steps' replies. */
    RedisModule_ReplyWithArray(ctx, (long)job->step_count + !persisted);
    for (size_t i = 0; i < job->step_count; i++)
        reply_step(ctx, job, &job->steps[i]);
    if (!persisted)
        RedisModule_ReplyWithError(ctx, error.text);
    return REDISMODULE_OK;
}
