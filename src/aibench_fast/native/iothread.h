/* One I/O thread: an epoll loop that drives its workers, each with one request outstanding, or
 * with as many as are pipelined on its connection. Its state is in runstate.h.
 *
 * Memory: iothread_init allocates, iothread_free frees. The run_state is borrowed.
 * Threads: iothread_main is the thread; the others are for the controlling thread, before it starts and after
 * it ended.
 */
#ifndef AIBENCH_IOTHREAD_H
#define AIBENCH_IOTHREAD_H

#include "runstate.h"

/* Make the thread's workers, `first_worker` of the run and those that follow, and connect them.
 * Returns 0, or -1 with the reason in `errstr`; either way iothread_free is to be called. */
int iothread_init(struct iothread *t, struct run_state *run, uint32_t first_worker,
                  uint32_t worker_count, errstr_t errstr);

/* The thread's start routine; its argument is the iothread. */
void *iothread_main(void *iothread);

void iothread_free(struct iothread *t);

#endif
