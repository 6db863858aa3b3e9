/* When requests are due: in a closed loop at once, in an open loop at times that do not depend on replies.
 *
 * All workers share one schedule. Request k is due when the cumulative count of the profile reaches its place: place k
 * for even arrivals; for Poisson arrivals the k-th point of a Poisson process of rate 1, whose gaps are exponential
 * (the time-rescaling theorem turns it into one of any rate: Çinlar, Introduction to Stochastic Processes, 1975,
 * ch. 4.7). A profile is a sequence of segments, each with a constant rate or a ramp. Recorded arrivals are due at
 * their offsets.
 *
 * In a closed loop of conversations, a worker takes a whole conversation at a time. Its turns are requests with
 * consecutive numbers, each of which may have to wait for some time after the one before it has ended. After the last
 * conversation the first one comes again.
 *
 * If several clients share a schedule, each takes the requests of its share, by their numbers in the whole. Together
 * they take what one client would, each request once. Of conversations each takes its share of those.
 *
 * Memory: schedule_init borrows what the config points to; schedule_close frees nothing of it.
 * Threads: any number may call schedule_next at once.
 * Units: nanoseconds of CLOCK_MONOTONIC; rates in requests per second.
 */
#ifndef AIBENCH_SCHEDULE_H
#define AIBENCH_SCHEDULE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum arrivals {
    ARRIVALS_CLOSED_LOOP,
    ARRIVALS_CLOSED_LOOP_SHARE, /* the same for one of several clients */
    ARRIVALS_CONVERSATIONS,     /* a closed loop too */
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

/* The workers of all clients take turns: request n belongs to worker n % all_workers, and worker w to client
 * w % clients. */
struct schedule_share {
    uint64_t client;      /* from 0 on */
    uint64_t clients;     /* 0: one client takes all requests, and the other members are ignored */
    uint64_t workers;     /* of this client */
    uint64_t all_workers; /* of all clients */
};

struct schedule_conversations {
    const uint64_t *first_turns; /* the number of each one's first request, and at the end of all requests */
    uint64_t count;
    const int64_t *delays_ns; /* of each request: how long it waits after the turn before it */
};

struct schedule_config {
    enum arrivals arrivals;
    struct schedule_share share;
    const struct schedule_segment *segments; /* of even and Poisson arrivals */
    uint32_t segment_count;
    uint64_t seed;             /* of Poisson arrivals */
    const int64_t *offsets_ns; /* of recorded arrivals, from the start, ascending */
    uint64_t offset_count;
    struct schedule_conversations conversations;
};

struct arrival {
    uint64_t number; /* in the whole schedule, from 0 on, in the order of due times */
    int64_t due_ns;  /* 0 in a closed loop */
    int64_t not_before_ns; /* when it may be sent: due_ns, or after a delay in a conversation; 0: at once */
    uint32_t step;
    uint32_t turns_left; /* of its conversation, behind it */
};

struct schedule {
    struct schedule_config config;
    int64_t start_ns; /* set before the threads start */
    _Atomic uint64_t next; /* of the share's requests, or conversations */
    /* The mutex guards the rest, which only open loops use. */
    pthread_mutex_t mutex;
    uint64_t random;
    double place;           /* of a request in the cumulative count */
    uint64_t placed;        /* the number of this request */
    uint32_t segment;       /* the first segment that may contain the place */
    double segment_place;   /* the cumulative count at that segment's start */
    double segment_start_s; /* the time of that segment's start */
};

void schedule_init(struct schedule *s, const struct schedule_config *config);

void schedule_close(struct schedule *s);

/* Return whether it is an open loop. */
static inline bool schedule_is_open(const struct schedule *s)
{
    return s->config.arrivals > ARRIVALS_CONVERSATIONS;
}

/* Return whether a worker may have to wait before it sends its next request. */
static inline bool schedule_has_waits(const struct schedule *s)
{
    return s->config.arrivals > ARRIVALS_CLOSED_LOOP_SHARE;
}

/* Return when an open loop's schedule ends by itself; 0: never. */
int64_t schedule_end_ns(const struct schedule *s);

/* schedule_next for everything but the closed loop of a single client. */
bool schedule_next_general(struct schedule *s, struct arrival *arrival);

/* Take the next request. Return false if there are no more. Call it with the arrival of the worker's request before this
 * one, or with a zeroed one: not_before_ns and turns_left keep their 0 where there are neither due times nor
 * conversations. */
static inline bool schedule_next(struct schedule *s, struct arrival *arrival)
{
    if (s->config.arrivals != ARRIVALS_CLOSED_LOOP)
        return schedule_next_general(s, arrival);
    arrival->number = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed);
    arrival->due_ns = 0;
    arrival->step = SCHEDULE_NO_STEP;
    return true;
}

#endif
