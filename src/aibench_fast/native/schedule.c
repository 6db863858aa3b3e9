#include "schedule.h"

#include <math.h>

#include "clock.h"
#include "splitmix.h"

/* The gap to the next point of a Poisson process of rate 1, by inversion. */
static double exponential(uint64_t *random)
{
    double uniform = (double)(splitmix_next(random) >> 11) * 0x1p-53; /* [0, 1) */
    return -log1p(-uniform);
}

void schedule_init(struct schedule *s, const struct schedule_config *config)
{
    s->config = *config;
    s->random = config->seed;
    if (config->arrivals == ARRIVALS_POISSON)
        s->place = exponential(&s->random);
    pthread_mutex_init(&s->mutex, NULL);
}

void schedule_close(struct schedule *s)
{
    pthread_mutex_destroy(&s->mutex);
}

static double segment_requests(const struct schedule_segment *segment)
{
    return (segment->from_per_s + segment->to_per_s) / 2 * segment->duration_s;
}

/* Return when in the segment `count` requests are due: the root of slope / 2 t^2 + from t = count, in the form that
 * divides by 0 neither for a slope of 0 nor for a start from 0. */
static double seconds_for(const struct schedule_segment *segment, double count)
{
    if (count == 0)
        return 0;
    double from = segment->from_per_s;
    double slope = isinf(segment->duration_s)
                       ? 0
                       : (segment->to_per_s - segment->from_per_s) / segment->duration_s;
    double square = from * from + 2 * slope * count;
    return 2 * count / (from + sqrt(square > 0 ? square : 0)); /* a ramp to 0 may round below 0 */
}

/* Return the number in the whole of the share's k-th request. */
static uint64_t share_number(const struct schedule_share *share, uint64_t k)
{
    if (share->clients == 0)
        return k;
    return k / share->workers * share->all_workers + k % share->workers * share->clients +
           share->client;
}

/* Find the segment of the place and when it is reached; return false after the last segment. */
static bool find_due(struct schedule *s, struct arrival *arrival)
{
    const struct schedule_config *config = &s->config;
    for (; s->segment < config->segment_count; s->segment++) {
        const struct schedule_segment *segment = &config->segments[s->segment];
        double requests = segment_requests(segment);
        double count = s->place - s->segment_place;
        if (count < requests) {
            double due_s = s->segment_start_s + seconds_for(segment, count);
            arrival->due_ns = s->start_ns + (int64_t)(due_s * (double)NS_PER_S);
            arrival->step = segment->step;
            return true;
        }
        s->segment_place += requests;
        s->segment_start_s += segment->duration_s;
    }
    return false;
}

static bool next_by_profile(struct schedule *s, struct arrival *arrival)
{
    /* Even places are computed from the number, so that rounding errors do not add up. */
    if (s->config.arrivals == ARRIVALS_EVEN)
        s->place = (double)arrival->number;
    else
        for (; s->placed < arrival->number; s->placed++)
            s->place += exponential(&s->random);
    return find_due(s, arrival);
}

static bool next_recorded(struct schedule *s, struct arrival *arrival)
{
    if (arrival->number >= s->config.offset_count)
        return false;
    arrival->due_ns = s->start_ns + s->config.offsets_ns[arrival->number];
    arrival->step = SCHEDULE_NO_STEP;
    return true;
}

/* Take the worker's next turn, or the first one of the next conversation. */
static void next_turn(struct schedule *s, struct arrival *arrival)
{
    const struct schedule_conversations *all = &s->config.conversations;
    uint64_t turns = all->first_turns[all->count];
    if (arrival->turns_left > 0) {
        arrival->turns_left--;
        arrival->number++;
        int64_t delay_ns = all->delays_ns[arrival->number % turns];
        arrival->not_before_ns = delay_ns ? monotonic_ns() + delay_ns : 0;
        return;
    }
    uint64_t next = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed);
    uint64_t taken = share_number(&s->config.share, next);
    uint64_t place = taken % all->count;
    arrival->number = taken / all->count * turns + all->first_turns[place];
    arrival->turns_left = (uint32_t)(all->first_turns[place + 1] - all->first_turns[place] - 1);
    arrival->not_before_ns = 0;
}

static bool next_open(struct schedule *s, struct arrival *arrival)
{
    pthread_mutex_lock(&s->mutex);
    uint64_t next = atomic_load_explicit(&s->next, memory_order_relaxed);
    arrival->number = share_number(&s->config.share, next);
    bool found = s->config.arrivals == ARRIVALS_RECORDED ? next_recorded(s, arrival)
                                                         : next_by_profile(s, arrival);
    if (found)
        atomic_store_explicit(&s->next, next + 1, memory_order_relaxed);
    arrival->not_before_ns = arrival->due_ns;
    pthread_mutex_unlock(&s->mutex);
    return found;
}

bool schedule_next_general(struct schedule *s, struct arrival *arrival)
{
    if (schedule_is_open(s))
        return next_open(s, arrival);
    if (s->config.arrivals == ARRIVALS_CONVERSATIONS) {
        next_turn(s, arrival);
    } else {
        uint64_t next = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed);
        arrival->number = share_number(&s->config.share, next);
    }
    arrival->due_ns = 0;
    arrival->step = SCHEDULE_NO_STEP;
    return true;
}

int64_t schedule_end_ns(const struct schedule *s)
{
    const struct schedule_config *config = &s->config;
    double duration_s = 0;
    if (config->arrivals == ARRIVALS_RECORDED)
        return config->offset_count ? s->start_ns + config->offsets_ns[config->offset_count - 1] : s->start_ns;
    for (uint32_t i = 0; i < config->segment_count; i++)
        duration_s += config->segments[i].duration_s;
    return isinf(duration_s) ? 0 : s->start_ns + (int64_t)(duration_s * (double)NS_PER_S);
}
