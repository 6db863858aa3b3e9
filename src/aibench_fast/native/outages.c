#include "outages.h"

#include <string.h>

#include "clock.h"
#include "splitmix.h"

#define FIRST_DELAY_NS (20 * NS_PER_MS)
#define MOST_DELAY_NS (100 * NS_PER_MS)
#define DELAY_A_WORKER_NS (2 * NS_PER_MS) /* at most 500 attempts a second, for any number of workers */

void outages_init(struct outages *o)
{
    memset(o, 0, sizeof *o);
    pthread_mutex_init(&o->mutex, NULL);
}

void outages_attempt_failed(struct outages *o, int64_t lost_ns)
{
    pthread_mutex_lock(&o->mutex);
    if (!atomic_exchange(&o->under_way, true)) {
        if (o->count < OUTAGES_KEPT)
            o->kept[o->count] = (struct outage){.from_ns = INT64_MAX};
        o->count++;
    }
    if (o->count <= OUTAGES_KEPT) {
        struct outage *last = &o->kept[o->count - 1];
        /* A connection that was lost in the previous outage does not begin the next one. */
        int64_t before_ns = o->count > 1 ? last[-1].to_ns : 0;
        int64_t from_ns = lost_ns > before_ns ? lost_ns : before_ns;
        last->attempts++;
        if (from_ns < last->from_ns)
            last->from_ns = from_ns;
    }
    pthread_mutex_unlock(&o->mutex);
}

void outages_over(struct outages *o, int64_t now_ns)
{
    if (!atomic_load(&o->under_way))
        return;
    pthread_mutex_lock(&o->mutex);
    if (atomic_exchange(&o->under_way, false) && o->count <= OUTAGES_KEPT)
        o->kept[o->count - 1].to_ns = now_ns;
    pthread_mutex_unlock(&o->mutex);
}

uint64_t outages_read(struct outages *o, struct outage *outages)
{
    pthread_mutex_lock(&o->mutex);
    uint64_t count = o->count;
    memcpy(outages, o->kept, sizeof o->kept);
    pthread_mutex_unlock(&o->mutex);
    return count;
}

int64_t reconnect_delay_ns(uint32_t attempt, uint32_t worker, uint32_t workers)
{
    int64_t most_ns = MOST_DELAY_NS;
    if (workers * DELAY_A_WORKER_NS > most_ns)
        most_ns = workers * DELAY_A_WORKER_NS;
    int64_t delay_ns = FIRST_DELAY_NS;
    for (uint32_t i = 0; i < attempt && delay_ns < most_ns; i++)
        delay_ns *= 2;
    if (delay_ns > most_ns)
        delay_ns = most_ns;
    /* Between half of the delay and all of it. */
    uint64_t drawn = splitmix_at(worker, attempt) >> 11;
    return delay_ns / 2 + (int64_t)((double)delay_ns / 2 * ((double)drawn * 0x1p-53));
}

void outages_close(struct outages *o)
{
    pthread_mutex_destroy(&o->mutex);
}
