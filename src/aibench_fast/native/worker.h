/* A worker: its connection and the requests that are outstanding on it.
 *
 * Memory: iothread_init allocates what is in one, iothread_free frees it.
 * Units: nanoseconds of CLOCK_MONOTONIC.
 * Threads: its I/O thread alone uses it.
 */
#ifndef AIBENCH_WORKER_H
#define AIBENCH_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "connection.h"
#include "kind.h"
#include "replycheck.h"
#include "schedule.h"
#include "waitingline.h"

/* How a worker goes from one to the other is in requests.h. */
enum worker_phase {
    WORKER_WAITING,    /* until its request is due */
    WORKER_RESTING,    /* before it connects again, or while it sees whether the server closes its connection */
    WORKER_CONNECTING,
    WORKER_GREETING,   /* connected; the server has not accepted the greeting yet */
    WORKER_BUSY,       /* requests are outstanding */
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

#define NODE_HOST_BYTES 64 /* a numeric address */

struct worker {
    struct connection connection;
    struct replycheck check; /* of the oldest request outstanding, for replies come in order */
    enum worker_phase phase;
    uint32_t replies;     /* to requests that were answered on this connection */
    bool probes;          /* it rests to see whether the server closes this connection */
    struct waiter waiter; /* while it waits for its request to be due */
    bool late;            /* its request was due before it was free */
    bool held_up;         /* its request waited for a connection */
    int64_t queue_full_ns; /* since when its server's queue of new connections is full; 0: it is not */
    int64_t since_ns;     /* when connecting began */
    int64_t meant_ns;     /* when its request would have started, had there been a connection */
    int64_t rests_until_ns;
    bool lost;            /* its last connection was, and not closed by the peer as it may */
    int64_t lost_ns;      /* when its last connection was lost; 0 once there is another */
    uint32_t attempts;    /* to connect since then, that failed */
    int64_t first_attempt_ns; /* when the first of them did */
    uint32_t index;       /* among all workers of the run */
    uint32_t server;      /* which of the run's it is of */
    struct endpoint node; /* where it connects to: its server, or the node of a cluster that has its slot */
    char node_host[NODE_HOST_BYTES]; /* of one that was not known before the run */
    const struct request_kind *kinds; /* those of the run, or of its cluster by ASKING */
    bool asks_around;            /* which node has its slot, of others than it connected to before */
    uint32_t redirects;          /* of the next one, from one node of a cluster to another */
    uint64_t redirected_request; /* by its number */
    uint32_t greetings_due;      /* replies to the greeting that are still to come */
    struct request *requests; /* a ring of config.pipeline */
    uint32_t oldest;          /* its place in the ring */
    uint32_t outstanding;     /* how many the ring holds */
    uint64_t received_before; /* by its connection, when its oldest request was started */
    bool resends;             /* its requests go out again, on a new connection */
    uint64_t queued_bytes;    /* what its connection has been given to send since it was opened */
    struct iovec *iov_all;    /* room for all requests outstanding */
    struct iovec *iov;        /* what of them is not sent yet */
    size_t iov_count;
    char *output;      /* room for an output to compare; NULL where none is compared */
    uint64_t measured; /* requests of its own that ended measured */
};

static inline struct request *oldest(const struct worker *w)
{
    return &w->requests[w->oldest];
}

#endif
