/* The status of a call in gRPC, by name, and its message.
 *
 * Memory: the caller's; names are static. Units: bytes. Threads: any number.
 */
#ifndef AIBENCH_GRPCSTATUS_H
#define AIBENCH_GRPCSTATUS_H

#include <stddef.h>

#include "errstr.h"
#include "failures.h"

#define GRPC_NO_STATUS (-1) /* it did not come, or is not a number */
#define GRPC_OK 0

/* Every status but OK has a kind of failure by its name. */
#define GRPC_STATUS_LIST(X)                                     \
    X(1, "CANCELLED", FAILURE_CANCELLED)                        \
    X(2, "UNKNOWN", FAILURE_UNKNOWN)                            \
    X(3, "INVALID_ARGUMENT", FAILURE_INVALID_ARGUMENT)          \
    X(4, "DEADLINE_EXCEEDED", FAILURE_DEADLINE_EXCEEDED)        \
    X(5, "NOT_FOUND", FAILURE_NOT_FOUND)                        \
    X(6, "ALREADY_EXISTS", FAILURE_ALREADY_EXISTS)              \
    X(7, "PERMISSION_DENIED", FAILURE_PERMISSION_DENIED)        \
    X(8, "RESOURCE_EXHAUSTED", FAILURE_RESOURCE_EXHAUSTED)      \
    X(9, "FAILED_PRECONDITION", FAILURE_FAILED_PRECONDITION)    \
    X(10, "ABORTED", FAILURE_ABORTED)                           \
    X(11, "OUT_OF_RANGE", FAILURE_OUT_OF_RANGE)                 \
    X(12, "UNIMPLEMENTED", FAILURE_UNIMPLEMENTED)               \
    X(13, "INTERNAL", FAILURE_INTERNAL)                         \
    X(14, "UNAVAILABLE", FAILURE_UNAVAILABLE)                   \
    X(15, "DATA_LOSS", FAILURE_DATA_LOSS)                       \
    X(16, "UNAUTHENTICATED", FAILURE_UNAUTHENTICATED)

#define GRPC_STATUSES 17 /* from OK on */

extern const char *const grpcstatus_names[GRPC_STATUSES]; /* by number */

/* Return the kind of failure of a status other than OK; an unassigned number is UNKNOWN's. */
enum failure_kind grpcstatus_kind(int status);

/* Read the value of grpc-status; GRPC_NO_STATUS if it is not a number. */
int grpcstatus_read(const char *value, size_t bytes);

/* Write the value of grpc-message as text, as much as there is room for. It is percent-encoded. */
void grpcstatus_message(const char *value, size_t bytes, errstr_t text);

#endif
