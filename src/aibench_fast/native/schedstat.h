/* How long a thread was ready to run and had to wait for a CPU, as Linux counts it in schedstat.
 *
 * Memory: nothing is allocated but a file descriptor, which the caller closes.
 * Units: nanoseconds. Threads: schedstat_open is for the thread itself; any thread may read.
 */
#ifndef AIBENCH_SCHEDSTAT_H
#define AIBENCH_SCHEDSTAT_H

#include <stdint.h>

/* Open the counters of the calling thread; -1 where the kernel has none. */
int schedstat_open(void);

/* The time waited since the thread was started; -1 where it cannot be read, as after the thread's end. */
int64_t schedstat_wait_ns(int fd);

#endif
