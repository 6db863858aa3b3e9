/* The state of a run: what all its I/O threads share, and what each has to itself.
 *
 * Memory: loadgen_create allocates a run_state with its threads' states, and loadgen_free frees them;
 * iothread_init allocates what is in a thread's state, and iothread_free frees that.
 * Units: nanoseconds of CLOCK_MONOTONIC.
 * Threads: any thread may use the members of run_state that are atomic or guarded by its mutex; the others change only
 * before the threads start. An iothread belongs to its own thread; other threads may read its atomic members, and
 * `counted` and `parts` as figures.h says.
 */
#ifndef AIBENCH_RUNSTATE_H
#define AIBENCH_RUNSTATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "clock.h"
#include "eventlog.h"
#include "figures.h"
#include "keepalive.h"
#include "loadgen.h"
#include "outages.h"
#include "parts.h"
#include "schedule.h"
#include "tokenfigures.h"
#include "waitingline.h"
#include "worker.h"

/* Keeps a function out of the path of a closed loop's requests, where every instruction is counted. */
#define OUT_OF_LINE __attribute__((noinline, cold))

enum sample_state { SAMPLE_NONE, SAMPLE_WANTED, SAMPLE_TAKEN, SAMPLE_READY };

/* What all I/O threads share. */
struct run_state {
    struct loadgen_config config;
    struct schedule schedule;
    struct parts parts;
    uint64_t kind_limits[KINDS_MAX]; /* a draw is of kind k if kind_limits[k] is the first limit above it */
    size_t output_bytes_max;         /* the largest outputs of any kind that are allowed */
    size_t reply_bytes_max;          /* the longest usual reply of any kind, outputs included */
    size_t longest_reply_bytes;      /* the longest reply of any kind that is allowed */
    int64_t shortest_timeout_ns;     /* of a request, or of a token */
    size_t pieces_max;               /* the most texts and parts of tensors that a request of any kind is made of */
    _Atomic bool stopping;
    _Atomic bool lag_exceeded;
    _Atomic bool exhausted; /* every request of the schedule, or up to max_requests, is taken */
    _Atomic uint64_t completions;
    _Atomic uint64_t burn_in_requests; /* as in the config, or BURN_IN_UNTIL_MEASURING and then less */
    _Atomic int64_t measure_due_from_ns; /* in an open loop, what is due earlier is warm-up too */
    _Atomic int64_t measured_from_ns;
    struct outages *outages; /* of each server */
    struct keepalive *keepalives; /* of each server */
    _Atomic int64_t max_due_ns; /* when the first request beyond max_requests was due; 0 before */
    _Atomic int64_t over_ns; /* when the run was over by its duration or stopped; 0 before */
    _Atomic uint32_t workers_given_up; /* how many ended because they could not connect */
    _Atomic uint32_t workers_ended_one; /* how many have ended a stream of tokens; for steadywindow.c, as the next two */
    _Atomic int64_t steady_from_ns;  /* when the ramp was over; 0 before */
    _Atomic int64_t steady_until_ns; /* in a closed loop, when the first worker had no further request; 0 before */
    pthread_mutex_t mutex;   /* guards threads_running */
    pthread_cond_t ended;
    uint32_t threads_running;
    _Atomic int sample_state; /* enum sample_state; a claim of WANTED owns the four below */
    char *sample;
    size_t sample_bytes;
    uint32_t sample_kind;
    uint64_t sample_tensor;
};

/* What an I/O thread has to itself. */
struct iothread {
    struct run_state *run; /* borrowed */
    pthread_t thread;
    int epoll_fd;
    struct worker *workers;
    uint32_t worker_count;
    uint32_t workers_running;
    uint32_t workers_resting;
    struct waiting_line line; /* workers that are free before their request is due */
    _Atomic bool waits;       /* whether the line has any */
    int64_t clock_ns; /* when the thread last read the clock */
    uint32_t rounds;  /* of its loop; one in ROUNDS_A_CLOCK reads the clock in any case */
    int64_t next_expiry_check_ns;
    _Atomic int64_t began_ns; /* when it began to drive its workers; 0 before */
    _Atomic int64_t cpu_from_ns; /* this thread's CPU clock at its first measured completion */
    /* -1 before the thread begins, and if the kernel has none. The thread publishes it with release order; other
     * threads read it with acquire order, so that the file is open before they use it. */
    _Atomic int schedstat_fd;
    _Atomic int64_t cpu_wait_from_ns; /* its wait for a CPU by then; -1: unknown */
    _Atomic int64_t last_completed_ns;
    _Atomic int64_t cpu_ns;
    _Atomic int64_t cpu_wait_ns; /* -1 before the end, and if unknown */
    _Atomic uint64_t least_worker_requests;
    _Atomic uint64_t most_worker_requests;
    struct counted counted;
    struct figures *parts; /* run->parts.total of them; NULL: none */
    void *shared; /* what the protocol's `share` made; NULL: nothing */
    struct token_figures *tokens; /* of the whole run, and run->parts.total more; NULL: replies are no such streams */
    struct event_log log;
};

/* Lower a time to `ns`, if it is later or 0 (none): when several threads take requests at once, the one that is due
 * first may come last. */
static inline void keep_earliest(_Atomic int64_t *earliest_ns, int64_t ns)
{
    int64_t kept_ns = atomic_load_explicit(earliest_ns, memory_order_relaxed);
    while ((kept_ns == 0 || ns < kept_ns) &&
           !atomic_compare_exchange_weak(earliest_ns, &kept_ns, ns))
        ;
}

static inline int64_t read_clock(struct iothread *t)
{
    return t->clock_ns = monotonic_ns();
}

#endif
