/* One I/O thread: an epoll loop that drives its workers, each with one request outstanding, or
 * with as many as are pipelined on its connection.
 *
 * Memory: iothread_init allocates, iothread_free frees. The run_state is borrowed.
 * Threads: iothread_main is the thread; the counters may be read by any thread meanwhile.
 */
#ifndef AIBENCH_IOTHREAD_H
#define AIBENCH_IOTHREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "loadgen.h"
#include "outages.h"
#include "schedule.h"
#include "waitingline.h"

enum sample_state { SAMPLE_NONE, SAMPLE_WANTED, SAMPLE_TAKEN, SAMPLE_READY };

/* What all I/O threads share. */
struct run_state {
    struct loadgen_config config;
    struct schedule schedule;
    uint64_t kind_limits[KINDS_MAX]; /* a draw below kind_limits[k] and no earlier one is of kind k */
    size_t output_bytes_max;         /* of any kind */
    size_t reply_bytes_max;          /* with what is beside them */
    _Atomic bool stopping;
    _Atomic bool lag_exceeded;
    _Atomic uint64_t completions;
    _Atomic uint64_t burn_in_requests; /* as in the config, or BURN_IN_UNTIL_TOLD and then less */
    _Atomic int64_t measure_due_from_ns; /* by a schedule: what is due before is burn-in too */
    _Atomic int64_t measured_from_ns;
    struct outages outages;
    _Atomic int64_t over_ns; /* when the run was over by its duration or stopped; 0 before */
    pthread_mutex_t mutex;   /* guards threads_running */
    pthread_cond_t ended;
    uint32_t threads_running;
    _Atomic int sample_state; /* enum sample_state; a claim of WANTED owns the three below */
    char *sample;
    uint32_t sample_kind;
    uint64_t sample_tensor;
};

enum worker_phase {
    WORKER_WAITING, /* for its request's start by the schedule */
    WORKER_RESTING, /* before it connects again, where that was refused, or cut unused */
    WORKER_CONNECTING,
    WORKER_GREETING,
    WORKER_BUSY,
    WORKER_ENDED
};

/* A request that is sent, or is to be sent next, and is not answered yet. */
struct request {
    struct arrival arrival;
    const struct request_kind *kind;
    int64_t started_ns; /* just before it was first offered to the kernel; 0 before */
    uint64_t end_byte;  /* how many bytes its connection has sent when it is sent whole */
    bool measured;      /* by a schedule, where it is settled when the request is started */
    bool samples;       /* its output goes to run_state.sample */
};

struct worker {
    struct connection connection;
    struct replycheck check; /* of the oldest request outstanding, for replies come in order */
    enum worker_phase phase;
    bool answered;        /* something came back on this connection */
    struct waiter waiter; /* while it waits for its request to be due */
    bool late;            /* its request was due before it was free */
    int64_t since_ns;     /* when connecting began */
    int64_t rests_until_ns;
    int64_t lost_ns;      /* when its last connection was lost; 0 once there is another */
    uint32_t attempts;    /* to connect since then, that failed */
    int64_t first_attempt_ns; /* when the first of them did */
    uint32_t index;       /* among all workers of the run */
    struct request *requests; /* a ring of config.pipeline */
    uint32_t oldest;          /* its place in the ring */
    uint32_t outstanding;     /* how many the ring holds */
    uint64_t received_before; /* by its connection, when its oldest request was started */
    bool resends;             /* its request goes out again, on a new connection */
    uint64_t queued_bytes;    /* what its connection has been given to send since it was opened */
    struct iovec *iov_all;    /* room for all requests outstanding */
    struct iovec *iov;        /* what of them is not sent yet */
    size_t iov_count;
    char *output;      /* room for an output to compare; NULL where none is compared */
    uint64_t measured; /* requests of its own that ended measured */
};

struct iothread {
    struct run_state *run;
    pthread_t thread;
    int epoll_fd;
    struct worker *workers;
    uint32_t worker_count;
    uint32_t workers_running;
    uint32_t workers_resting;
    struct waiting_line line; /* workers that are free before their request is due */
    int64_t clock_ns; /* when the thread last read the clock */
    uint32_t rounds;  /* of its loop, of which one in ROUNDS_A_CLOCK reads it in any case */
    int64_t next_expiry_check_ns;
    _Atomic int64_t began_ns; /* when it began to drive its workers; 0 before */
    _Atomic int64_t cpu_from_ns; /* this thread's CPU clock at its first measured completion */
    _Atomic uint64_t begun;
    _Atomic uint64_t requests;
    _Atomic uint64_t answered_tensors;
    _Atomic uint64_t reconnects;
    _Atomic uint64_t abandoned;
    _Atomic uint64_t burn_in_shed;
    _Atomic uint64_t unsent; /* due before the run was over, and taken, but not sent by then */
    _Atomic int64_t last_completed_ns;
    _Atomic int64_t cpu_ns;
    _Atomic uint64_t least_worker_requests;
    _Atomic uint64_t most_worker_requests;
    struct failures burn_in_failures;
    struct histogram burn_in_latencies;
    struct figures measured;
    struct figures *kinds; /* one a kind; NULL where there is but one */
    struct figures *steps; /* one a step */
    struct histogram start_lags;
    struct histogram timer_lags;
    struct histogram reply_waits;
};

/* Make the thread's workers, `first_worker` of the run and those that follow, and connect them.
 * Returns 0, or -1 with the reason in `errstr`; either way iothread_free is to be called. */
int iothread_init(struct iothread *t, struct run_state *run, uint32_t first_worker,
                  uint32_t worker_count, errstr_t errstr);

/* Stop the run: its threads end within a tenth of a second. Any thread may call it. */
void run_stop(struct run_state *run);

/* The thread's start routine; its argument is the iothread. */
void *iothread_main(void *iothread);

void iothread_free(struct iothread *t);

#endif
