#include "machine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"
#include "waitingline.h"

double machine_clock_cost_ns(uint64_t readings)
{
    int64_t started_ns = monotonic_ns();
    for (uint64_t i = 1; i < readings; i++)
        monotonic_ns();
    return (double)(monotonic_ns() - started_ns) / (double)readings;
}

static void wait_and_record(struct histogram *errors, struct waiting_line *line, int epoll_fd,
                            uint64_t count, int64_t period_ns)
{
    struct epoll_event event;
    struct waiter waiter;
    int64_t start_ns = monotonic_ns();
    for (uint64_t i = 1; i <= count; i++) {
        waiter.due_ns = start_ns + (int64_t)i * period_ns;
        waiting_line_push(line, &waiter);
        waiting_line_arm(line);
        while (waiting_line_pop(line, monotonic_ns()) == NULL)
            epoll_wait(epoll_fd, &event, 1, -1);
        histogram_record(errors, monotonic_ns() - waiter.due_ns);
    }
}

int machine_timer_errors(struct histogram *errors, uint64_t count, int64_t period_ns, errstr_t errstr)
{
    struct waiting_line line = {.timer_fd = -1};
    int status = -1;
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        snprintf(errstr, ERRSTR_BYTES, "cannot create an epoll instance: %s", strerror(errno));
    else if (waiting_line_open(&line, epoll_fd, errstr) == 0) {
        wait_and_record(errors, &line, epoll_fd, count, period_ns);
        status = 0;
    }
    waiting_line_close(&line);
    if (epoll_fd >= 0)
        close(epoll_fd);
    return status;
}
