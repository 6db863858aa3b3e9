/* Failed requests, counted by kind, the first message of each kind kept.
 *
 * Memory: the struct holds everything; zeroed memory is a valid, empty one.
 * Threads: one thread records; any thread may read meanwhile: a message is written once, before
 * its count is first seen above zero.
 */
#ifndef AIBENCH_FAILURES_H
#define AIBENCH_FAILURES_H

#include <stdatomic.h>
#include <stdint.h>

#include "errstr.h"

enum failure_kind {
    FAILURE_NONE = -1,
    FAILURE_ERROR_REPLY,     /* the server refused, at the top or inside a DAG's reply */
    FAILURE_SERVER_TIMEOUT,  /* TIMEDOUT: no error reply, but no inference either */
    FAILURE_NOT_RUN,         /* NA: a DAG's step behind a failed one */
    FAILURE_WRONG_REPLY,     /* a reply of another type or text than the command answers */
    FAILURE_WRONG_SIZE,      /* an output of another size than the model's */
    FAILURE_WRONG_OUTPUT,    /* an output that differs from the reference by more than allowed */
    FAILURE_PROTOCOL,        /* bytes that are no reply, or a reply that nobody asked for */
    FAILURE_TENSOR_FILE,     /* the tensor file shrank while it was sent from; the run ends */
    FAILURE_CONNECTION_LOST, /* cut before the last reply */
    FAILURE_CLIENT_TIMEOUT,  /* no whole answer within the client's own limit */
    FAILURE_CONNECT,         /* a lost connection could not be opened again, or not logged in, for as
                              * long as that is tried; the worker ends */
    FAILURE_TOO_MANY_REQUESTS, /* HTTP 429 */
    FAILURE_UNAVAILABLE,       /* HTTP 503 */
    FAILURE_CLUSTER_DOWN,      /* CLUSTERDOWN: the cluster takes no requests for now */
    FAILURE_REDIRECTED,        /* from one node of a cluster to another, and to none that answers it */
    FAILURE_KINDS
};

struct failure_counter {
    _Atomic uint64_t count;
    int64_t first_ns; /* monotonic time of the first one */
    errstr_t first_message;
};

struct failures {
    struct failure_counter kinds[FAILURE_KINDS];
};

void failures_record(struct failures *f, enum failure_kind kind, const char *message,
                     int64_t now_ns);

/* Add what `from` holds into `into`; the earlier first message wins. `into` is the caller's own. */
void failures_merge(struct failures *into, const struct failures *from);

#endif
