/* The load generator: workers over one server or several, driven by native threads, in a closed loop or by a
 * schedule of arrivals, with requests of one kind or of a mix.
 *
 * Life: loadgen_create (connects every worker) -> loadgen_start -> loadgen_wait, as often as
 * wanted -> loadgen_free, which stops and joins first where that is still to do.
 *
 * Memory: loadgen_create allocates, loadgen_free frees; what the config points to (servers, kinds,
 * segments, offsets, strings) is borrowed and must outlive the loadgen. Between start and the threads' end
 * nothing is allocated but for a lost connection's replacement, and for reading JSON (see http.h).
 * Units: as the names say; times are of CLOCK_MONOTONIC unless said otherwise.
 * Threads: the functions here are for one controlling thread, but loadgen_stop, which any thread
 * may call.
 * Signals: the I/O threads block all of them but SIGBUS; see mapguard.h.
 */
#ifndef AIBENCH_LOADGEN_H
#define AIBENCH_LOADGEN_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster.h"
#include "connection.h"
#include "errstr.h"
#include "figures.h"
#include "kind.h"
#include "outages.h"
#include "parts.h"
#include "schedule.h"

#define BURN_IN_UNTIL_TOLD UINT64_MAX

struct loadgen_config {
    const struct protocol *protocol; /* in which all kinds are asked and judged */
    const struct endpoint *servers;  /* worker w is of server w modulo their number */
    uint32_t server_count;           /* 1 to workers */
    const struct greeting *greetings; /* of each server, sent first on every connection; or NULL */
    const struct cluster *cluster;   /* that the servers are the shards of, in RESP; or NULL */
    const struct request_kind *kinds;
    uint32_t kind_count;  /* 1 to KINDS_MAX */
    uint64_t mix_seed;    /* what the kind of each request is drawn from, by the request's number */
    uint32_t workers;
    uint32_t threads;  /* 1 to workers */
    uint32_t pipeline; /* requests outstanding on each connection, at least 1; 1 with a schedule */
    struct schedule_config schedule;
    uint32_t step_count;       /* steps of the schedule whose figures are kept apart */
    uint64_t burn_in_requests; /* the first ones, which are in no figure: in a closed loop to end, by a
                                * schedule to be due. BURN_IN_UNTIL_TOLD: all, until
                                * loadgen_begin_measuring */
    int64_t burn_in_ns;        /* by a schedule, so are those that are due in this time */
    int64_t measured_after_ns; /* by a schedule of several clients, when the first measured request of
                                * any of them is due, from the start; 0: of this one's own */
    uint64_t max_requests;     /* of all clients, burn-in included; 0: no limit */
    int64_t max_lag_ns;        /* how late a request may start by the schedule; 0: however late */
    bool shed_late;            /* one that would be later is not sent; false: it ends the run */
    int64_t duration_ns;       /* of the measured part; 0: no limit */
    int64_t reply_timeout_ns;  /* from a request's start to its last reply */
    int64_t connect_timeout_ns;
    int64_t reconnect_for_ns;  /* how long a worker tries to get another connection for a lost one; then
                                * it ends */
    bool stop_on_disconnect;   /* a lost connection ends the run */
    bool stop_on_failure;
};

struct loadgen_snapshot {
    struct counted counted;    /* of all threads together; `abandoned` and `unsent` are final after the end, when
                                * the requests that were begun are those that ended and those abandoned */
    int64_t started_ns;        /* 0 before the start */
    int64_t began_ns;          /* when the first I/O thread did; 0 before */
    int64_t measured_from_ns;  /* when burn-in was complete; 0 before, and maybe later than now, where
                                * the first measured request is not due yet */
    int64_t last_completed_ns; /* of a measured request, success or not; 0 without one */
    int64_t cpu_ns;            /* of all I/O threads in the measured part, so far */
    double busiest_thread;     /* the largest share of the measured time that one I/O thread
                                * was on a CPU */
    int64_t longest_cpu_wait_ns; /* the longest that one I/O thread was ready to run and waited for a CPU in
                                  * the measured part; -1 where the kernel does not tell */
    uint64_t least_worker_requests; /* measured ones of the worker that had the fewest; 0 before */
    uint64_t most_worker_requests;  /* the end, and so has the one with the most */
    int64_t cut_after_ns;           /* how long after the burn-in the run was over by its duration or its
                                     * max_requests, or stopped; 0 where the schedule ended it */
    int64_t cut_ns;                 /* when that was; 0 before, and where the schedule ended it */
    bool lag_exceeded;              /* a request was later than max_lag_ns, which ended the run */
};

/* A part of the requests, with the measured figures of it. */
struct part {
    enum dimension dimension;
    uint32_t number; /* in that dimension, from 0 on */
    struct figures figures;
};

struct loadgen;

/* Make the tensors ready to be sent, and connect every worker. Returns NULL with the reason in `errstr`. */
struct loadgen *loadgen_create(const struct loadgen_config *config, errstr_t errstr);

/* Start the I/O threads, once; 0 or -1 with the reason in `errstr`. With an `at_ns` that is not 0 the run starts
 * then: threads of a closed loop wait for it, and a schedule begins with it, though it be over. */
int loadgen_start(struct loadgen *g, int64_t at_ns, errstr_t errstr);

/* Wait until all I/O threads ended or for `timeout_ns`; true when they ended. */
bool loadgen_wait(struct loadgen *g, int64_t timeout_ns);

/* True once the burn-in is complete. */
bool loadgen_measuring(struct loadgen *g);

/* Whether no more requests begin, but for those that wait for a connection: what is under way is the last. */
bool loadgen_is_ending(struct loadgen *g);

/* End a burn-in that is BURN_IN_UNTIL_TOLD: what ends from now on is measured, or by a schedule what is
 * due from now on. */
void loadgen_begin_measuring(struct loadgen *g);

/* End the run within a tenth of a second; requests under way are abandoned. */
void loadgen_stop(struct loadgen *g);

/* Add up what all threads have so far, without stopping any. `snapshot` is overwritten. */
void loadgen_read(struct loadgen *g, struct loadgen_snapshot *snapshot);

/* How many parts there are: each kind and each server where there are several, and each step of the schedule. */
uint32_t loadgen_parts(const struct loadgen *g);

/* Add up the figures of one part, by its place from 0 on, as loadgen_read does. `part` is overwritten. */
void loadgen_read_part(struct loadgen *g, uint32_t place, struct part *part);

/* A server's outages so far, into room for OUTAGES_KEPT; returns how many there were in all. */
uint64_t loadgen_read_outages(struct loadgen *g, uint32_t server, struct outage *outages);

/* Before the start: the version of TLS and the cipher, as the first worker has them, both static; false where
 * there is none. */
bool loadgen_tls(struct loadgen *g, const char **version, const char **cipher);

/* Ask for a copy of the next output that arrives. */
void loadgen_want_sample(struct loadgen *g);

/* Copy a sample that has arrived, the first output of a reply, to `output` (room for the most that any
 * kind's outputs may have), and tell its size, which kind's it is and the index of its first tensor; false
 * when none has arrived since it was last asked for. */
bool loadgen_take_sample(struct loadgen *g, char *output, size_t *bytes, uint32_t *kind, uint64_t *tensor);

void loadgen_free(struct loadgen *g);

#endif
