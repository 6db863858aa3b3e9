/* When a server could not be reached: from the loss of a connection that could not be replaced at once until a new one
 * was made. All are counted; the first OUTAGES_KEPT are kept.
 *
 * Memory: the caller's, between outages_init and outages_close. Units: nanoseconds of CLOCK_MONOTONIC.
 * Threads: any number. Only connections that fail or are made call these functions, never a request.
 */
#ifndef AIBENCH_OUTAGES_H
#define AIBENCH_OUTAGES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define OUTAGES_KEPT 100

struct outage {
    int64_t from_ns;
    int64_t to_ns;     /* 0: not over */
    uint64_t attempts; /* failed attempts to connect */
};

struct outages {
    pthread_mutex_t mutex; /* guards the next two */
    uint64_t count;
    struct outage kept[OUTAGES_KEPT];
    _Atomic bool under_way;
};

void outages_init(struct outages *o);

/* An attempt to connect failed, for a connection that was lost at `lost_ns`. */
void outages_attempt_failed(struct outages *o, int64_t lost_ns);

/* A connection was made. */
void outages_over(struct outages *o, int64_t now_ns);

/* Copy the outages that are kept, in order, to `outages`, which has room for OUTAGES_KEPT. Return how many there
 * were in all. */
uint64_t outages_read(struct outages *o, struct outage *outages);

/* Return how long worker `worker` waits before attempt number `attempt` (from 0) to connect. The delay grows with the
 * attempts up to a limit, differs between workers, and grows with their number, so that a server that comes back is not
 * overrun. */
int64_t reconnect_delay_ns(uint32_t attempt, uint32_t worker, uint32_t workers);

void outages_close(struct outages *o);

#endif
