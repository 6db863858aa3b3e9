/* The workers of an I/O thread that are free before their request is due, or may be sent.
 *
 * Memory: waiting_line_open opens a timer, waiting_line_close closes it. A waiter is part of the caller's own struct;
 * it belongs to the line from waiting_line_push until waiting_line_pop returns it.
 * Units: nanoseconds of CLOCK_MONOTONIC. Threads: a line belongs to one thread.
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
    int timer_fd;     /* -1: not open */
    int64_t armed_ns; /* when the timer fires */
};

/* Open the line's timer and add it to `epoll_fd`, with a NULL pointer as the event's data. Return 0, or -1 with the
 * reason in `errstr`. */
int waiting_line_open(struct waiting_line *line, int epoll_fd, errstr_t errstr);

/* Add a waiter, behind those that are due when it is or earlier. Where it is due last, as the requests of a schedule
 * are, this takes no time; else it goes through those that are due earlier. */
void waiting_line_push(struct waiting_line *line, struct waiter *waiter);

/* Remove and return the first waiter that is due at `now_ns`; NULL if there is none. */
struct waiter *waiting_line_pop(struct waiting_line *line, int64_t now_ns);

/* Set the timer to when the first waiter is due; call it before each sleep. */
void waiting_line_arm(struct waiting_line *line);

void waiting_line_close(struct waiting_line *line);

#endif
