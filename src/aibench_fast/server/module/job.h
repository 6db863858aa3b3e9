/* A job: what one AI.MODELRUN, AI.MODELEXECUTE or AI.DAG* command asks for, from its arguments to its
 * reply. A model command is a job of one step.
 *
 * A job is built on the main thread, then run by one thread at a time, then replied to and freed on
 * the main thread. Tensors are kept in slots that are written once: a name that is written again gets
 * a new slot, so a step never sees what a later one writes, and no thread but the main one drops a
 * tensor.
 */
#ifndef AIBENCH_JOB_H
#define AIBENCH_JOB_H

#include "model.h"
#include "tensor.h"

typedef enum StepKind { STEP_TENSORSET, STEP_TENSORGET, STEP_MODELRUN } StepKind;

typedef enum StepState { STEP_WAITING, STEP_DONE, STEP_FAILED } StepState;

typedef struct Step {
    StepKind kind;
    StepState state;
    char *error;                      /* of a failed one */
    int format;                       /* of AI.TENSORGET */
    Model *model;                     /* of a run: a reference of the job's */
    size_t *slots;                    /* inputs, then outputs; of AI.TENSOR*: the one tensor's */
    size_t input_count, output_count; /* of a run */
} Step;

/* A slot that is put under a key when the job has succeeded. */
typedef struct Persist {
    RedisModuleString *key; /* held */
    size_t slot;
} Persist;

typedef struct Job {
    Step *steps;
    size_t step_count, step_capacity;
    size_t next_step; /* the first that is not done */
    Tensor **slots;   /* a reference each, or NULL: not written yet */
    size_t slot_count, slot_capacity;
    Persist *persists;
    size_t persist_count, persist_capacity;
    bool is_dag;
    bool timed_out;
    int64_t queued_ns;   /* when the step that waits was queued; monotonic clock */
    int64_t deadline_ns; /* TIMEOUT: a job that is still queued then is not run; 0: none */
    RedisModuleBlockedClient *client;
    struct Job *next; /* in the queue */
} Job;

Job *job_create(bool is_dag);
void job_free(Job *job); /* main thread */

/* Each returns what it added; the pointer is good until the next is added. */
Step *job_add_step(Job *job, StepKind kind);
size_t job_add_slot(Job *job, Tensor *tensor); /* takes a reference over; NULL: written later */
void job_add_persist(Job *job, RedisModuleString *key, size_t slot);

/* Makes the step a run: takes a reference to the model, and room for its slots. */
void step_set_model(Step *step, Model *model);

/* The run that the job waits for, or NULL at its end. Skips steps that are not runs. */
Step *job_current_run(Job *job);

/* Rows of the run's first input. */
int64_t job_rows(const Job *job, const Step *run);

/* Runs the current run of each job as one execution: the same model, and inputs whose rows match
 * where there is more than one job. Counts it in the model's statistics. Any thread. */
void jobs_execute(Job **jobs, size_t count);

/* Replies, and puts what is to persist under its keys. Main thread. */
int job_reply(RedisModuleCtx *ctx, RedisModuleString **argv, int argc, Job *job);

int64_t monotonic_ns(void);

#endif
