/* The queue of the CPU: jobs that wait for their current run, and the threads that run them. */
#ifndef AIBENCH_QUEUE_H
#define AIBENCH_QUEUE_H

#include "job.h"

/* Starts the threads; they live as long as the server. Main thread, once. */
int queue_start(int threads, Error *error);

/* Runs the job, and replies: at once where all its runs are instant ones that nothing batches, else
 * on the queue, the client waiting meanwhile. Takes the job over. Main thread. */
int queue_submit(RedisModuleCtx *ctx, RedisModuleString **argv, int argc, Job *job);

/* CPU seconds of thread `index`; false if there is no such thread. Any thread. */
bool queue_thread_cpu_s(int index, double *seconds);

#endif
