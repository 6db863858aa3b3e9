/* An I/O thread: an epoll loop that drives its workers. Each worker has one request outstanding, or as many as the
 * pipeline allows. The thread's state is in runstate.h.
 *
 * Memory: iothread_init allocates, iothread_free frees. The run_state is borrowed.
 * Threads: iothread_main is the thread itself. The controlling thread calls the others, before it starts and after it
 * has ended.
 */
#ifndef AIBENCH_IOTHREAD_H
#define AIBENCH_IOTHREAD_H

#include "runstate.h"

/* Make and connect the thread's `worker_count` workers, numbered in the run from `first_worker` on. Return 0, or -1
 * with the reason in `errstr`; call iothread_free in both cases. */
int iothread_init(struct iothread *t, struct run_state *run, uint32_t first_worker,
                  uint32_t worker_count, errstr_t errstr);

/* The thread's start routine; its argument is the iothread. */
void *iothread_main(void *iothread);

void iothread_free(struct iothread *t);

#endif
