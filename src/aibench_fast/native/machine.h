/* The limits of the machine itself, without server and requests: the cost of the clock, the error of the timer.
 *
 * Memory: the caller's; nothing is allocated. Units: nanoseconds. Threads: any; a call returns when it has measured.
 */
#ifndef AIBENCH_MACHINE_H
#define AIBENCH_MACHINE_H

#include <stdint.h>

#include "errstr.h"
#include "histogram.h"

/* Return the mean cost of reading the clock of all latencies, of `readings` readings. */
double machine_clock_cost_ns(uint64_t readings);

/* Measure how late a thread wakes that waits for `count` times, `period_ns` apart, with a timerfd in an epoll loop,
 * as an I/O thread does. Count the errors in `errors`, which the caller initialised. Return 0, or -1 with the reason
 * in `errstr`. */
int machine_timer_errors(struct histogram *errors, uint64_t count, int64_t period_ns, errstr_t errstr);

#endif
