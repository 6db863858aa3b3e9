/* The load generator: native threads drive workers over one server or several, in a closed loop or by a schedule of
 * arrivals, with requests of one kind or of a mix.
 *
 * Life: loadgen_create (connects every worker) -> loadgen_start -> loadgen_wait, as often as needed -> loadgen_free,
 * which stops and joins the threads if they still run.
 *
 * Memory: loadgen_create allocates, loadgen_free frees; what the config points to (servers, kinds, segments, offsets,
 * strings) is borrowed and must outlive the loadgen. Between start and the threads' end memory is allocated only to
 * replace a lost connection, and to read JSON (see http.h).
 * Units: as the names say; times are of CLOCK_MONOTONIC unless said otherwise.
 * Threads: one controlling thread calls the functions here; any thread may call loadgen_stop.
 * Signals: the I/O threads block all signals but SIGBUS; see mapguard.h.
 */
#ifndef AIBENCH_LOADGEN_H
#define AIBENCH_LOADGEN_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster.h"
#include "connection.h"
#include "errstr.h"
#include "eventlog.h"
#include "figures.h"
#include "kind.h"
#include "outages.h"
#include "parts.h"
#include "schedule.h"
#include "tokenfigures.h"

#define BURN_IN_UNTIL_MEASURING UINT64_MAX

struct loadgen_config {
    const struct protocol *protocol; /* of all kinds */
    const struct endpoint *servers;  /* worker w uses server w modulo server_count */
    uint32_t server_count;           /* 1 to workers */
    const struct greeting *greetings; /* of each server, sent first on every connection; or NULL */
    const struct cluster *cluster;   /* whose shards the servers are, in RESP; or NULL */
    const struct request_kind *kinds;
    uint32_t kind_count;  /* 1 to KINDS_MAX */
    uint64_t mix_seed;    /* the kind of a request is drawn from this seed and the request's number */
    uint32_t workers;
    uint32_t threads;  /* 1 to workers */
    uint32_t pipeline; /* requests outstanding on each connection, at least 1; 1 with a schedule */
    struct schedule_config schedule;
    uint32_t step_count;       /* steps of the schedule that have figures of their own */
    uint64_t burn_in_requests; /* the warm-up: the first requests to end in a closed loop, the first that are due in
                                * an open one. BURN_IN_UNTIL_MEASURING: until loadgen_begin_measuring */
    int64_t burn_in_ns;        /* in an open loop, the warm-up has all requests that are due in this time too */
    int64_t measured_after_ns; /* in an open loop of several clients: when the first measured request of any client
                                * is due, from the start; 0: this client's own first one */
    uint64_t max_requests;     /* of all clients, warm-up included; 0: no limit */
    int64_t max_lag_ns;        /* how late a request may start by the schedule; 0: no limit */
    bool shed_late;            /* a later request is not sent; false: it ends the run */
    int64_t duration_ns;       /* of the measured part; 0: no limit */
    int64_t reply_timeout_ns;  /* from a request's start to its last reply */
    int64_t connect_timeout_ns;
    int64_t reconnect_for_ns;  /* how long a worker tries to replace a lost connection, before it ends */
    bool stop_on_disconnect;   /* a lost connection ends the run */
    bool stop_on_failure;      /* a failed request ends the run */
    uint64_t event_log_entries; /* how many events each I/O thread logs at most; see eventlog.h */
};

struct loadgen_snapshot {
    struct counted counted;    /* of all threads. `abandoned` and `unsent` are complete after the end; then `begun` is
                                * `requests` plus `abandoned` */
    bool has_tokens;           /* replies are streams of tokens */
    struct token_figures tokens; /* of all threads, if they are */
    int64_t steady_from_ns;    /* of the steady window; see steadywindow.h */
    int64_t steady_until_ns;
    int64_t started_ns;        /* 0 before the start */
    int64_t began_ns;          /* when the first I/O thread began; 0 before */
    int64_t measured_from_ns;  /* when the warm-up was complete; 0 before. In the future if the first measured request
                                * is not due yet */
    int64_t last_completed_ns; /* when the last measured request ended; 0 without one */
    int64_t cpu_ns;            /* of all I/O threads in the measured part, so far */
    double busiest_thread;     /* the largest share of the measured time that one I/O thread was on a CPU */
    int64_t longest_cpu_wait_ns; /* how long, at most, one I/O thread was ready to run and waited for a CPU in the
                                  * measured part; -1 if the kernel does not report it */
    uint64_t least_worker_requests; /* measured requests of the worker with the fewest; 0 before the end */
    uint64_t most_worker_requests;  /* measured requests of the worker with the most; 0 before the end */
    int64_t cut_after_ns;           /* how long after the warm-up the duration, max_requests or a stop ended the run;
                                     * 0 if the schedule ended it */
    int64_t cut_ns;                 /* when that was; 0 before, and if the schedule ended it */
    bool lag_exceeded;              /* a request was later than max_lag_ns, and that ended the run */
};

/* A part of the requests, with its measured figures. */
struct part {
    enum dimension dimension;
    uint32_t number; /* in that dimension, from 0 on */
    struct figures figures;
    struct token_figures tokens; /* empty unless replies are streams of tokens */
};

struct loadgen;

/* Prepare the tensors for sending, and connect every worker. Return NULL with the reason in `errstr` on failure. */
struct loadgen *loadgen_create(const struct loadgen_config *config, errstr_t errstr);

/* Start the I/O threads, once. Return 0, or -1 with the reason in `errstr`. The run starts at `at_ns`, or now if
 * that is 0: the threads of a closed loop wait for this time; a schedule begins at it, even if it has passed. */
int loadgen_start(struct loadgen *g, int64_t at_ns, errstr_t errstr);

/* Wait until all I/O threads have ended, for `timeout_ns` at most. Return whether they have. */
bool loadgen_wait(struct loadgen *g, int64_t timeout_ns);

/* Return whether the warm-up is complete. */
bool loadgen_measuring(struct loadgen *g);

/* Return whether no more requests begin, except those that wait for a connection. */
bool loadgen_is_ending(struct loadgen *g);

/* End a warm-up of BURN_IN_UNTIL_MEASURING. From now on requests are measured that end, or in an open loop that are
 * due. */
void loadgen_begin_measuring(struct loadgen *g);

/* End the run within a tenth of a second. Requests under way are abandoned. */
void loadgen_stop(struct loadgen *g);

/* Add up what all threads counted so far, without stopping them. `snapshot` is zeroed memory, or one that was filled
 * here before; it is overwritten. */
void loadgen_read(struct loadgen *g, struct loadgen_snapshot *snapshot);

/* Return the number of parts: each kind and each server if there are several, and each step of the schedule. */
uint32_t loadgen_parts(const struct loadgen *g);

/* Add up the figures of one part, by its place from 0 on, as loadgen_read does; `part` likewise. */
void loadgen_read_part(struct loadgen *g, uint32_t place, struct part *part);

/* Copy a server's outages so far, which needs room for OUTAGES_KEPT. Return how many there were in all. */
uint64_t loadgen_read_outages(struct loadgen *g, uint32_t server, struct outage *outages);

/* Before the start: set the TLS version and the cipher of the first worker's connection, both static. Return false
 * without TLS. */
bool loadgen_tls(struct loadgen *g, const char **version, const char **cipher);

/* After the end: return the log of an I/O thread. */
const struct event_log *loadgen_event_log(const struct loadgen *g, uint32_t thread);

/* Request a copy of the next output that arrives. */
void loadgen_want_sample(struct loadgen *g);

/* Copy a sample that has arrived, the first output of a reply, to `output`, which has room for output_bytes_max of any
 * kind. Set its size, its kind and the index of its first tensor. Return false if none has arrived since the last
 * request for one. */
bool loadgen_take_sample(struct loadgen *g, char *output, size_t *bytes, uint32_t *kind, uint64_t *tensor);

/* Stop and join the threads, and free everything. */
void loadgen_free(struct loadgen *g);

#endif
