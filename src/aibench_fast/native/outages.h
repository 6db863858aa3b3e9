/* When a server could not be reached: from the loss of a connection that could not be made again until
 * one was. The first OUTAGES_KEPT are kept, all are counted.
 *
 * Memory: the caller's, between outages_init and outages_close. Units: nanoseconds of CLOCK_MONOTONIC.
 * Threads: any number; what is called here is called where a connection failed, never for a request.
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
    int64_t to_ns;     /* 0: it is not over */
    uint64_t attempts; /* to connect, that failed */
};

struct outages {
    pthread_mutex_t mutex; /* guards the next two */
    uint64_t count;
    struct outage kept[OUTAGES_KEPT];
    _Atomic bool under_way;
};

void outages_init(struct outages *o);

/* An attempt to connect failed, after a connection was lost at `lost_ns`. */
void outages_attempt_failed(struct outages *o, int64_t lost_ns);

/* A connection was made. */
void outages_over(struct outages *o, int64_t now_ns);

/* Copy those that are kept, in order, to `outages`, which has room for OUTAGES_KEPT; return how many there
 * were in all. */
uint64_t outages_read(struct outages *o, struct outage *outages);

/* How long to wait before connection number `attempt` (from 0) of worker `worker` is tried: longer from one
 * to the next, bounded, and never alike for all. Of many workers each waits longer, so that a server that
 * comes back is not overrun. */
int64_t reconnect_delay_ns(uint32_t attempt, uint32_t worker, uint32_t workers);

void outages_close(struct outages *o);

#endif
