/* Failed requests, counted by kind, with the first message of each kind.
 *
 * Memory: the struct holds everything; zeroed memory is a valid, empty one.
 * Units: nanoseconds of CLOCK_MONOTONIC.
 * Threads: one thread records; any thread may read meanwhile. A message is written once, before its count is first
 * seen above zero.
 */
#ifndef AIBENCH_FAILURES_H
#define AIBENCH_FAILURES_H

#include <stdatomic.h>
#include <stdint.h>

#include "errstr.h"

/* Each kind with its name, which results keep: it never changes. A new one needs its line here, the place that
 * finds it, and its line in the documentation's table. */
#define FAILURE_LIST(X)                                                                                       \
    X(FAILURE_ERROR_REPLY, "error_reply")       /* the server refused, at the top or inside a DAG's reply */ \
    X(FAILURE_SERVER_TIMEOUT, "server_timeout") /* TIMEDOUT: no error reply, but no inference either */      \
    X(FAILURE_NOT_RUN, "not_run")               /* NA: a DAG's step behind a failed one */                   \
    X(FAILURE_WRONG_REPLY, "wrong_reply")       /* a reply of another type or text than the command answers */ \
    X(FAILURE_WRONG_SIZE, "wrong_size")         /* an output of another size than the model's */             \
    X(FAILURE_WRONG_OUTPUT, "wrong_output")     /* an output that differs from the reference by too much */  \
    X(FAILURE_PROTOCOL, "protocol")             /* bytes that are no reply, or a reply to no request */      \
    X(FAILURE_TENSOR_FILE, "tensor_file")       /* the file shrank while it was sent from; the run ends */   \
    X(FAILURE_CONNECTION_LOST, "connection_lost") /* cut before the last reply */                            \
    X(FAILURE_CLIENT_TIMEOUT, "client_timeout") /* no whole answer within the client's own limit */          \
    X(FAILURE_CONNECT, "connect")               /* no new connection for a lost one within the time that is  \
                                                 * tried, or no log-in on it; the worker ends */             \
    X(FAILURE_TOO_MANY_REQUESTS, "too_many_requests") /* HTTP 429 */                                         \
    X(FAILURE_UNAVAILABLE, "unavailable")       /* HTTP 503, and gRPC's UNAVAILABLE */                       \
    X(FAILURE_CLUSTER_DOWN, "cluster_down")     /* CLUSTERDOWN: the cluster takes no requests for now */     \
    X(FAILURE_ERROR_EVENT, "error_event")       /* an error within a stream of tokens */                     \
    X(FAILURE_STREAM_CUT, "stream_cut")         /* a stream of tokens that ends before it is whole */        \
    X(FAILURE_FIRST_TOKEN_TIMEOUT, "first_token_timeout") /* no token within the limit for the first */      \
    X(FAILURE_TOKEN_TIMEOUT, "token_timeout")   /* a pause between tokens that is longer than its limit */   \
    X(FAILURE_TOO_FEW_TOKENS, "too_few_tokens") /* of a whole stream */                                      \
    X(FAILURE_REDIRECTED, "redirected")         /* from node to node of a cluster, and to none that answers */ \
    /* The statuses of gRPC; UNAVAILABLE is above. */                                                        \
    X(FAILURE_CANCELLED, "cancelled")                                                                        \
    X(FAILURE_UNKNOWN, "unknown")                                                                            \
    X(FAILURE_INVALID_ARGUMENT, "invalid_argument")                                                          \
    X(FAILURE_DEADLINE_EXCEEDED, "deadline_exceeded")                                                        \
    X(FAILURE_NOT_FOUND, "not_found")                                                                        \
    X(FAILURE_ALREADY_EXISTS, "already_exists")                                                              \
    X(FAILURE_PERMISSION_DENIED, "permission_denied")                                                        \
    X(FAILURE_RESOURCE_EXHAUSTED, "resource_exhausted")                                                      \
    X(FAILURE_FAILED_PRECONDITION, "failed_precondition")                                                    \
    X(FAILURE_ABORTED, "aborted")                                                                            \
    X(FAILURE_OUT_OF_RANGE, "out_of_range")                                                                  \
    X(FAILURE_UNIMPLEMENTED, "unimplemented")                                                                \
    X(FAILURE_INTERNAL, "internal")                                                                          \
    X(FAILURE_DATA_LOSS, "data_loss")                                                                        \
    X(FAILURE_UNAUTHENTICATED, "unauthenticated")

#define FAILURE_CONSTANT(constant, name) constant,

enum failure_kind { FAILURE_NONE = -1, FAILURE_LIST(FAILURE_CONSTANT) FAILURE_KINDS };

extern const char *const failure_names[FAILURE_KINDS]; /* in the order of the list */

/* Return the kind of failure of an HTTP status that is not a success. */
enum failure_kind failure_of_http(int status);

struct failure_counter {
    _Atomic uint64_t count;
    int64_t first_ns; /* when the first one was found */
    errstr_t first_message;
};

struct failures {
    struct failure_counter kinds[FAILURE_KINDS];
};

/* Count a failure; copies the message if it is the first of its kind. */
void failures_record(struct failures *f, enum failure_kind kind, const char *message,
                     int64_t now_ns);

/* Add what `from` holds into `into`; the earlier first message wins. `into` is the caller's own. */
void failures_merge(struct failures *into, const struct failures *from);

#endif
