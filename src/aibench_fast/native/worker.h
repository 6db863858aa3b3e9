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
    WORKER_STREAMING,  /* the same, of a protocol whose requests are streams */
    WORKER_ENDED
};

/* A request that is sent or will be sent next, and is not answered yet. */
struct request {
    struct arrival arrival;
    const struct request_kind *kind;
    int64_t started_ns; /* just before it was first offered to the kernel; 0 before */
    uint64_t end_byte;  /* the connection's sent_bytes when the request is sent completely */
    bool measured;      /* only in an open loop, which settles this when the request starts */
    bool samples;       /* its output is copied to run_state.sample */
    uint8_t resends;    /* how often it was sent again; only of streams, as the next */
    uint32_t slot;      /* of its stream, or NO_SLOT */
};

#define NO_SLOT UINT32_MAX

#define NODE_HOST_BYTES 64 /* a numeric address */

struct worker {
    /* First what each event of its connection needs, in a few lines of the cache. */
    struct connection connection;
    enum worker_phase phase;
    uint32_t replies;         /* how many requests were answered on this connection */
    uint32_t outstanding;     /* how many requests the ring holds */
    uint32_t oldest;          /* the place of the oldest request in the ring */
    struct request *requests; /* a ring of config.pipeline */
    struct iovec *iov_all;    /* room for all requests outstanding */
    struct iovec *iov;        /* the part of them that is not sent yet */
    size_t iov_count;
    bool resends;             /* its requests are sent again, on a new connection */
    bool late;                /* its request was due before the worker was free */
    bool held_up;             /* its request waited for a connection */
    char *output;             /* room for an output to compare; NULL: none is compared */
    struct replycheck check;  /* of the oldest request outstanding: replies come in order */
    bool probes;              /* it rests to see whether the server closes this connection */
    struct waiter waiter;     /* while it waits until its request is due */
    int64_t queue_full_ns;    /* since when its server's queue of new connections is full; 0: it is not */
    int64_t since_ns;         /* when connecting began */
    int64_t meant_ns;         /* when its request would have started with a connection */
    int64_t rests_until_ns;
    bool lost;                /* its last connection was lost, not closed by the peer between requests */
    int64_t lost_ns;          /* when its last connection was lost; 0: it has a new one */
    uint32_t attempts;        /* failed attempts to connect since then */
    int64_t first_attempt_ns; /* when the first of them failed */
    uint32_t index;           /* among all workers of the run */
    uint32_t server;          /* its server's place among the run's */
    struct endpoint node;     /* where it connects to: its server, or the cluster's node that has its slot */
    char node_host[NODE_HOST_BYTES]; /* the host of a node that was not known before the run */
    const struct request_kind *kinds; /* the run's kinds, or its cluster's with ASKING */
    bool asks_around;         /* its node is gone: it asks other nodes which one has its slot */
    uint32_t redirects;       /* how often redirected_request was redirected */
    uint64_t redirected_request; /* a request's number */
    uint32_t greetings_due;   /* replies to the greeting that have not come yet */
    uint64_t received_before; /* the connection's received_bytes when its oldest request started */
    uint64_t queued_bytes;    /* bytes queued for its connection since that was opened */
    int64_t ended_ns;         /* when its last stream of tokens ended; 0 before the first */
    uint64_t measured;        /* how many of its requests were measured */
};

static inline struct request *oldest(const struct worker *w)
{
    return &w->requests[w->oldest];
}

#endif
