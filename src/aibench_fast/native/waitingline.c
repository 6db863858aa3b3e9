#include "waitingline.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "clock.h"

int waiting_line_open(struct waiting_line *line, int epoll_fd, errstr_t errstr)
{
    /* Edge-triggered: every expiry wakes once, and the timer needs no reading. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    /* A timer, because epoll_wait counts in milliseconds. */
    line->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (line->timer_fd >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, line->timer_fd, &event) == 0)
        return 0;
    snprintf(errstr, ERRSTR_BYTES, "cannot create a timer: %s", strerror(errno));
    return -1;
}

void waiting_line_push(struct waiting_line *line, struct waiter *waiter)
{
    struct waiter **place = &line->first;
    if (line->first && line->last->due_ns <= waiter->due_ns)
        place = &line->last->next;
    else
        while (*place && (*place)->due_ns <= waiter->due_ns)
            place = &(*place)->next;
    waiter->next = *place;
    *place = waiter;
    if (waiter->next == NULL)
        line->last = waiter;
}

struct waiter *waiting_line_pop(struct waiting_line *line, int64_t now_ns)
{
    struct waiter *first = line->first;
    if (first == NULL || first->due_ns > now_ns)
        return NULL;
    line->first = first->next;
    return first;
}

void waiting_line_arm(struct waiting_line *line)
{
    if (line->first == NULL || line->first->due_ns == line->armed_ns)
        return;
    int64_t due_ns = line->first->due_ns;
    struct itimerspec at = {.it_value = {due_ns / NS_PER_S, due_ns % NS_PER_S}};
    timerfd_settime(line->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
    line->armed_ns = due_ns;
}

void waiting_line_close(struct waiting_line *line)
{
    if (line->timer_fd >= 0)
        close(line->timer_fd);
    line->timer_fd = -1;
}
