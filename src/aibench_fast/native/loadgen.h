/* The load generator: workers over a server, driven by native threads, in a closed loop or by a
 * schedule of starts.
 *
 * Life: loadgen_create (connects every worker) -> loadgen_start -> loadgen_wait, as often as
 * wanted -> loadgen_free, which stops and joins first where that is still to do.
 *
 * Memory: loadgen_create allocates, loadgen_free frees; what the config points to (map, request
 * texts, strings) is borrowed and must outlive the loadgen. Between start and the threads' end
 * nothing is allocated but for a lost connection's replacement.
 * Units: as the names say; times are of CLOCK_MONOTONIC unless said otherwise.
 * Threads: the functions here are for one controlling thread, but loadgen_stop, which any thread
 * may call.
 * Signals: the I/O threads block all of them.
 */
#ifndef AIBENCH_LOADGEN_H
#define AIBENCH_LOADGEN_H

#include <stdbool.h>
#include <stdint.h>

#include "connection.h"
#include "errstr.h"
#include "failures.h"
#include "histogram.h"
#include "replycheck.h"
#include "tensormap.h"

/* A worker's request but for the tensor: the bytes before it and after it. */
struct request_text {
    const char *prefix;
    size_t prefix_bytes;
    const char *suffix;
    size_t suffix_bytes;
};

struct loadgen_config {
    struct endpoint endpoint;
    const char *greeting; /* sent first on every connection, and answered with OK; or NULL */
    size_t greeting_bytes;
    const struct tensormap *tensors;
    const char *references; /* float32 outputs, one a tensor, in order; NULL: not compared */
    float tolerance;        /* the largest difference allowed, absolute */
    const struct request_text *texts; /* one a worker */
    struct reply_plan plan;
    size_t output_bytes; /* the size of the plan's bulk */
    uint32_t workers;
    uint32_t threads; /* 1 to workers */
    uint32_t pipeline; /* requests outstanding on each connection, at least 1; 1 under a limit */
    uint64_t batch;   /* tensors a request, at least 1 */
    uint64_t first_tensor; /* where in the file the first request starts */
    uint64_t burn_in_requests;
    uint64_t max_requests;    /* burn-in included; 0: no limit */
    double requests_per_s;    /* of all workers, spread evenly; 0: no limit, a closed loop */
    int64_t duration_ns;      /* of the measured part; 0: no limit */
    int64_t reply_timeout_ns; /* from a request's start to its last reply */
    int64_t connect_timeout_ns;
    bool stop_on_failure;
};

struct loadgen_snapshot {
    uint64_t requests;         /* ended in any way, burn-in included */
    uint64_t successes;        /* measured ones */
    uint64_t abandoned;        /* under way when the run was stopped; final after the end */
    uint64_t late_starts;      /* measured requests that were due before a worker was free */
    int64_t started_ns;        /* 0 before the start */
    int64_t measured_from_ns;  /* when burn-in was complete; 0 before */
    int64_t last_completed_ns; /* of a measured request, success or not; 0 without one */
    int64_t cpu_ns;            /* of all I/O threads in the measured part; final after the end */
    double busiest_thread;     /* the largest share of the measured time that one I/O thread
                                * was on a CPU; final after the end */
    uint64_t least_worker_requests; /* measured ones of the worker that had the fewest; 0 before */
    uint64_t most_worker_requests;  /* the end, and so has the one with the most */
    struct failures burn_in_failures;
    struct failures failures; /* measured ones */
    struct histogram latencies; /* of measured successes: response latency, from the intended start,
                                 * which in a closed loop is the actual one */
    struct histogram service_latencies; /* the same from the actual start; zeros without a limit */
};

struct loadgen;

/* Make the tensors ready to be sent, and connect every worker. Returns NULL with the reason in `errstr`. */
struct loadgen *loadgen_create(const struct loadgen_config *config, errstr_t errstr);

/* Start the I/O threads, once. Returns 0, or -1 with the reason in `errstr`. */
int loadgen_start(struct loadgen *g, errstr_t errstr);

/* Wait until all I/O threads ended or for `timeout_ns`; true when they ended. */
bool loadgen_wait(struct loadgen *g, int64_t timeout_ns);

/* True once the burn-in is complete. */
bool loadgen_measuring(struct loadgen *g);

/* End the run within a tenth of a second; requests under way are abandoned. */
void loadgen_stop(struct loadgen *g);

/* Add up what all threads have so far, without stopping any. `snapshot` is overwritten. */
void loadgen_read(struct loadgen *g, struct loadgen_snapshot *snapshot);

/* Ask for a copy of the next output that arrives. */
void loadgen_want_sample(struct loadgen *g);

/* Copy a sample that has arrived to `output` (output_bytes of room) and the index of its first
 * tensor to `tensor`; false when none has arrived since it was last asked for. */
bool loadgen_take_sample(struct loadgen *g, char *output, uint64_t *tensor);

void loadgen_free(struct loadgen *g);

#endif
