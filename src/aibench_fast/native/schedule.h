/* When requests are due: in a closed loop at once, otherwise by arrivals that no answer moves.
 *
 * The schedule is one for all workers. Request k is due when its place in the cumulative count of
 * the profile is reached: place k for even arrivals; for Poisson arrivals the k-th point of a Poisson
 * process of rate 1, whose gaps are exponential (the time-rescaling theorem: Çinlar, Introduction to
 * Stochastic Processes, 1975, ch. 4.7, makes one of any rate of it). A profile is a sequence of
 * segments in which the rate is constant or a ramp. Recorded arrivals are due at their offsets.
 *
 * Of several clients with one schedule each takes the requests of its share, by their numbers in the
 * whole: together they take what one client would, each request once.
 *
 * Memory: schedule_init keeps what the config points to, borrowed; schedule_close frees nothing of it.
 * Threads: schedule_next may be called by any, at once.
 * Units: nanoseconds of CLOCK_MONOTONIC, rates in requests a second.
 */
#ifndef AIBENCH_SCHEDULE_H
#define AIBENCH_SCHEDULE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum arrivals {
    ARRIVALS_CLOSED_LOOP,
    ARRIVALS_CLOSED_LOOP_SHARE, /* the same of one client of several */
    ARRIVALS_EVEN,
    ARRIVALS_POISSON,
    ARRIVALS_RECORDED
};

#define SCHEDULE_NO_STEP UINT32_MAX

struct schedule_segment {
    double from_per_s;
    double to_per_s;   /* reached at its end, in a straight line */
    double duration_s; /* INFINITY: for ever, at a constant rate */
    uint32_t step;     /* whose figures its requests belong to, or SCHEDULE_NO_STEP */
};

/* The workers of all clients take turns: request n is worker n % all_workers's, and worker w is client
 * w % clients's. */
struct schedule_share {
    uint64_t client;      /* from 0 on */
    uint64_t clients;     /* 0: one client takes all requests, and the rest is not looked at */
    uint64_t workers;     /* of this client */
    uint64_t all_workers; /* of all */
};

struct schedule_config {
    enum arrivals arrivals;
    struct schedule_share share;
    const struct schedule_segment *segments; /* of even and Poisson arrivals */
    uint32_t segment_count;
    uint64_t seed;             /* of Poisson arrivals */
    const int64_t *offsets_ns; /* of recorded arrivals, from the start, ascending */
    uint64_t offset_count;
};

struct arrival {
    uint64_t number; /* of the whole schedule, from 0 on, in the order that they are due */
    int64_t due_ns;  /* 0 in a closed loop */
    uint32_t step;
};

struct schedule {
    struct schedule_config config;
    int64_t start_ns; /* set before the threads are started */
    _Atomic uint64_t next; /* of the share's requests */
    /* The rest is for arrivals that are not of a closed loop, and guarded by the mutex. */
    pthread_mutex_t mutex;
    uint64_t random;
    double place;           /* of a request in the cumulative count */
    uint64_t placed;        /* which one that is */
    uint32_t segment;       /* that it is looked for in */
    double segment_place;   /* the cumulative count at that segment's start */
    double segment_start_s; /* and its time */
};

void schedule_init(struct schedule *s, const struct schedule_config *config);

void schedule_close(struct schedule *s);

/* Whether arrivals are due at times of their own. */
static inline bool schedule_is_open(const struct schedule *s)
{
    return s->config.arrivals > ARRIVALS_CLOSED_LOOP_SHARE;
}

/* As schedule_next, but in the closed loop of one client. */
bool schedule_next_told(struct schedule *s, struct arrival *arrival);

/* Take the next request; false where there are no more. */
static inline bool schedule_next(struct schedule *s, struct arrival *arrival)
{
    if (s->config.arrivals != ARRIVALS_CLOSED_LOOP)
        return schedule_next_told(s, arrival);
    arrival->number = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed);
    arrival->due_ns = 0;
    arrival->step = SCHEDULE_NO_STEP;
    return true;
}

#endif
