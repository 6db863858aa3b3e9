#include "queue.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "reply.h"

#define NS_PER_MS 1000000
#define NS_PER_S 1000000000

static struct {
    pthread_mutex_t lock; /* of the jobs that are queued */
    pthread_cond_t changed;
    Job *first, **end; /* in the order of arrival; end: where the next one is linked in */
    pthread_t *threads;
    int thread_count;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .end = &queue.first};

static void push(Job *job)
{
    pthread_mutex_lock(&queue.lock);
    *queue.end = job;
    queue.end = &job->next;
    pthread_cond_signal(&queue.changed);
    pthread_mutex_unlock(&queue.lock);
}

/* ---- picking what runs next; the lock is held ---- */

typedef struct Batch {
    Job **jobs;
    size_t count;
} Batch;

/* Moves the job at *link from the queue to the batch. */
static void batch_take(Batch *batch, Job **link)
{
    Job *job = *link;
    *link = job->next;
    if (!job->next)
        queue.end = link;
    job->next = NULL;
    batch->jobs = RedisModule_Realloc(batch->jobs, (batch->count + 1) * sizeof(Job *));
    batch->jobs[batch->count++] = job;
}

static int64_t waiting_rows(Job *job) { return job_rows(job, job_current_run(job)); }

/* Whether the rows of the job's inputs can be joined with other jobs': its model batches, and its
 * inputs have equally many rows. */
static bool can_join(Job *job)
{
    const Step *run = job_current_run(job);
    for (size_t i = 1; i < run->input_count; i++)
        if (tensor_rows(job->slots[run->slots[i]]) != job_rows(job, run))
            return false;
    return run->model->limits.batch_size > 0;
}

static bool match(Job *a, Job *b)
{
    const Step *run_a = job_current_run(a), *run_b = job_current_run(b);
    if (run_a->model != run_b->model || !can_join(b))
        return false;
    for (size_t i = 0; i < run_a->input_count; i++)
        if (!tensor_rows_match(a->slots[run_a->slots[i]], b->slots[run_b->slots[i]]))
            return false;
    return true;
}

/* Rows of the job and of those behind it that would join it, up to the model's BATCHSIZE. */
static int64_t joinable_rows(Job *job)
{
    int64_t most = job_current_run(job)->model->limits.batch_size;
    int64_t rows = waiting_rows(job);
    for (Job *other = job->next; other; other = other->next)
        if (match(job, other) && rows + waiting_rows(other) <= most)
            rows += waiting_rows(other);
    return rows;
}

/* Whether the job waits for others to join it; wake_ns is then at most the end of that wait. */
static bool waits_for_rows(Job *job, int64_t now_ns, int64_t *wake_ns)
{
    const BatchLimits *limits = &job_current_run(job)->model->limits;
    if (waiting_rows(job) >= limits->min_batch_size || !can_join(job) ||
        joinable_rows(job) >= limits->min_batch_size)
        return false;
    if (limits->min_batch_timeout_ms == 0)
        return true;
    int64_t end_ns = job->queued_ns + limits->min_batch_timeout_ms * NS_PER_MS;
    if (end_ns < *wake_ns)
        *wake_ns = end_ns;
    return now_ns < end_ns;
}

/* Takes the first job that may run and those that join it, or one job whose time ran out. An empty
 * batch: there is nothing to do before wake_ns, unless the queue changes. */
static Batch pick(int64_t *wake_ns)
{
    Batch batch = {0};
    int64_t now_ns = monotonic_ns();
    *wake_ns = INT64_MAX;
    for (Job **link = &queue.first; *link; link = &(*link)->next) {
        Job *job = *link;
        if (job->deadline_ns && now_ns >= job->deadline_ns) {
            job->timed_out = true;
            batch_take(&batch, link);
            return batch;
        }
        if (waits_for_rows(job, now_ns, wake_ns)) {
            if (job->deadline_ns && job->deadline_ns < *wake_ns)
                *wake_ns = job->deadline_ns;
            continue;
        }
        int64_t rows = waiting_rows(job);
        bool joins = can_join(job);
        int64_t most = job_current_run(job)->model->limits.batch_size;
        batch_take(&batch, link);
        while (joins && *link) {
            if (match(job, *link) && rows + waiting_rows(*link) <= most) {
                rows += waiting_rows(*link);
                batch_take(&batch, link);
            } else {
                link = &(*link)->next;
            }
        }
        return batch;
    }
    return batch;
}

/* ---- the threads ---- */

static void run(const Batch *batch)
{
    if (!batch->jobs[0]->timed_out) {
        for (size_t i = 0; i < batch->count; i++)
            RedisModule_BlockedClientMeasureTimeStart(batch->jobs[i]->client);
        jobs_execute(batch->jobs, batch->count);
        for (size_t i = 0; i < batch->count; i++)
            RedisModule_BlockedClientMeasureTimeEnd(batch->jobs[i]->client);
    }
    for (size_t i = 0; i < batch->count; i++) {
        Job *job = batch->jobs[i];
        if (!job->timed_out && job_current_run(job)) {
            job->queued_ns = monotonic_ns();
            push(job);
        } else {
            RedisModule_UnblockClient(job->client, job);
        }
    }
}

static void *work(void *unused)
{
    (void)unused;
    for (;;) {
        int64_t wake_ns;
        pthread_mutex_lock(&queue.lock);
        Batch batch = pick(&wake_ns);
        while (batch.count == 0) {
            struct timespec until = {wake_ns / NS_PER_S, wake_ns % NS_PER_S};
            pthread_cond_timedwait(&queue.changed, &queue.lock, &until);
            batch = pick(&wake_ns);
        }
        pthread_mutex_unlock(&queue.lock);
        run(&batch);
        RedisModule_Free(batch.jobs);
    }
    return NULL;
}

int queue_start(int threads, Error *error)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&queue.changed, &attributes);
    pthread_condattr_destroy(&attributes);

    /* Signals are the server's business, and are handled on its own thread. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    queue.threads = RedisModule_Calloc((size_t)threads, sizeof(*queue.threads));
    while (queue.thread_count < threads &&
           pthread_create(&queue.threads[queue.thread_count], NULL, work, NULL) == 0)
        queue.thread_count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (queue.thread_count < threads)
        return error_set(error, "cannot start %d threads", threads);
    return REDISMODULE_OK;
}

bool queue_thread_cpu_s(int index, double *seconds)
{
    clockid_t clock;
    struct timespec used;
    if (index >= queue.thread_count || pthread_getcpuclockid(queue.threads[index], &clock) != 0 ||
        clock_gettime(clock, &used) != 0)
        return false;
    *seconds = (double)used.tv_sec + (double)used.tv_nsec / NS_PER_S;
    return true;
}

/* ---- commands' side ---- */

static int reply_unblocked(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    return job_reply(ctx, argv, argc, RedisModule_GetBlockedClientPrivateData(ctx));
}

/* Called on the main thread, also where the client is gone and nothing was replied. */
static void free_unblocked(RedisModuleCtx *ctx, void *job)
{
    (void)ctx;
    job_free(job);
}

int queue_submit(RedisModuleCtx *ctx, RedisModuleString **argv, int argc, Job *job)
{
    const Step *run = job_current_run(job);
    while (run && run->model->engine->instant && run->model->limits.batch_size == 0) {
        jobs_execute(&job, 1);
        run = job_current_run(job);
    }
    if (!run) {
        int result = job_reply(ctx, argv, argc, job);
        job_free(job);
        return result;
    }
    if (RedisModule_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_DENY_BLOCKING) {
        job_free(job);
        return reply_error(ctx, argv, argc,
                           "ERR Cannot run RedisAI command within a transaction or a LUA script");
    }
    job->queued_ns = monotonic_ns();
    job->client = RedisModule_BlockClient(ctx, reply_unblocked, NULL, free_unblocked, 0);
    push(job);
    return REDISMODULE_OK;
}
