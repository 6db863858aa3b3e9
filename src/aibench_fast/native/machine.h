/* What the machine itself allows, with no server and no request: the clock's cost, the timer's error.
 *
 * Memory: the caller's; nothing is allocated. Units: nanoseconds. Threads: any, each by itself; a call
 * lasts as long as it measures.
 */
#ifndef AIBENCH_MACHINE_H
#define AIBENCH_MACHINE_H

#include <stdint.h>

#include "errstr.h"
#include "histogram.h"

/* What one reading of the clock that latencies are read from costs, on average of `readings`. */
double machine_clock_cost_ns(uint64_t readings);

/* How late a thread wakes that waits, by a timerfd in an epoll loop as an I/O thread does, for `count`
 * times `period_ns` apart. Errors go into `errors`, which the caller made empty. Returns 0, or -1 with
 * the reason in `errstr`. */
int machine_timer_errors(struct histogram *errors, uint64_t count, int64_t period_ns, errstr_t errstr);

#endif
