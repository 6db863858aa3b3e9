/* Workers that are free before their request is due, in one I/O thread.
 *
 * Memory: nothing is allocated but the line's timer; a waiter is part of the caller's own struct
 * and belongs to the line from waiting_line_push until waiting_line_pop gives it back.
 * Threads: a line belongs to one thread. Units: nanoseconds of CLOCK_MONOTONIC.
 */
#ifndef AIBENCH_WAITINGLINE_H
#define AIBENCH_WAITINGLINE_H

#include <stdbool.h>
#include <stdint.h>

#include "errstr.h"

struct waiter {
    struct waiter *next;
    int64_t due_ns;
};

struct waiting_line {
    struct waiter *first;
    struct waiter *last;
    int timer_fd;     /* -1 where none is open */
    int64_t armed_ns; /* what the timer is set to */
};

/* Open the line's timer and have `epoll_fd` wake for it, with a NULL pointer as the event's data.
 * Returns 0, or -1 with the reason in `errstr`. */
int waiting_line_open(struct waiting_line *line, int epoll_fd, errstr_t errstr);

/* Put a waiter at the end. Its due_ns is not before that of any that waits already. */
void waiting_line_push(struct waiting_line *line, struct waiter *waiter);

/* Take out the first waiter that is due at `now_ns`; NULL when none is. */
struct waiter *waiting_line_pop(struct waiting_line *line, int64_t now_ns);

/* Have the timer fire when the first waiter is due; to be called before sleeping. */
void waiting_line_arm(struct waiting_line *line);

void waiting_line_close(struct waiting_line *line);

#endif
