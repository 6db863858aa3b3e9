/* How long a thread was ready to run and waited for a CPU, from Linux's schedstat.
 *
 * Memory: schedstat_open opens a file, which the caller closes.
 * Units: nanoseconds. Threads: the thread itself calls schedstat_open; any thread may read.
 */
#ifndef AIBENCH_SCHEDSTAT_H
#define AIBENCH_SCHEDSTAT_H

#include <stdint.h>

/* Open the counters of the calling thread. Return the file descriptor; -1 if the kernel has none. */
int schedstat_open(void);

/* Return the wait since the thread started; -1 if it cannot be read, for example after the thread's end. */
int64_t schedstat_wait_ns(int fd);

#endif
