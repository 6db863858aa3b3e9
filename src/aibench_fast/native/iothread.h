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
#include "schedule.h"

enum sample_state { SAMPLE_NONE, SAMPLE_WANTED, SAMPLE_TAKEN, SAMPLE_READY };

/* What all I/O threads share. */
struct run_state {
    struct loadgen_config config;
    struct schedule schedule; /* its start is set before the threads are started */
    _Atomic bool stopping;
    _Atomic uint64_t next_request; /* the number of the request that is issued next */
    _Atomic uint64_t completions;
    _Atomic int64_t measured_from_ns;
    pthread_mutex_t mutex; /* guards threads_running */
    pthread_cond_t ended;
    uint32_t threads_running;
    _Atomic int sample_state; /* enum sample_state; a claim of WANTED owns the two below */
    char *sample;
    uint64_t sample_tensor;
};

enum worker_phase {
    WORKER_WAITING, /* for its request's start by the schedule */
    WORKER_RESTING, /* before it connects again to a server that cut a connection unused */
    WORKER_CONNECTING,
    WORKER_GREETING,
    WORKER_BUSY,
    WORKER_ENDED
};

/* A request that is sent, or is to be sent next, and is not answered yet. */
struct request {
    uint64_t number;
    int64_t started_ns; /* just before it was first offered to the kernel */
    uint64_t end_byte;  /* how many bytes its connection has sent when it is sent whole */
    bool samples;       /* its output goes to run_state.sample */
};

struct worker {
    struct connection connection;
    struct replycheck check; /* of the oldest request outstanding, for replies come in order */
    enum worker_phase phase;
    bool answered;        /* something came back on this connection */
    struct waiter waiter; /* its due_ns is when the request was meant to start; 0: without a limit */
    bool late;            /* it was due before this worker was free */
    int64_t since_ns;     /* when connecting, or resting, began */
    const struct request_text *text;
    struct request *requests; /* a ring of config.pipeline */
    uint32_t oldest;          /* its place in the ring */
    uint32_t outstanding;     /* how many the ring holds */
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
    struct waiting_line line; /* workers that are free before their request is due */
    int64_t next_expiry_check_ns;
    int64_t cpu_from_ns; /* this thread's CPU clock at its first measured completion */
    _Atomic uint64_t requests;
    _Atomic uint64_t successes;
    _Atomic uint64_t abandoned;
    _Atomic uint64_t late_starts;
    _Atomic int64_t last_completed_ns;
    _Atomic int64_t cpu_ns;
    _Atomic uint64_t least_worker_requests;
    _Atomic uint64_t most_worker_requests;
    struct failures burn_in_failures;
    struct failures failures;
    struct histogram latencies;         /* from the intended start */
    struct histogram service_latencies; /* from the actual one; filled under a rate limit alone */
};

/* Make the thread's workers and connect them; `texts` has one entry a worker.
 * Returns 0, or -1 with the reason in `errstr`; either way iothread_free is to be called. */
int iothread_init(struct iothread *t, struct run_state *run, const struct request_text *texts,
                  uint32_t worker_count, errstr_t errstr);

/* The thread's start routine; its argument is the iothread. */
void *iothread_main(void *iothread);

void iothread_free(struct iothread *t);

#endif
