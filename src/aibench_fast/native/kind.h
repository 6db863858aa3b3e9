/* A kind of request: its model, its tensors, and the replies that it expects. A run has one kind, or a mix of several
 * with weights.
 *
 * Memory: everything is borrowed, and must outlive the load generator. Units: bytes.
 * Threads: read-only, shared by all.
 */
#ifndef AIBENCH_KIND_H
#define AIBENCH_KIND_H

#include <stddef.h>
#include <stdint.h>

#include "http.h"
#include "oip.h"
#include "resp.h"
#include "splitmix.h"
#include "tensormap.h"
#include "tokenstream.h"

/* Each input has a reply. With the run's reply, those of 16 outputs, and an ASKING before each, they fit in a plan. */
#define KIND_INPUTS_MAX 14
#define KINDS_MAX 64

/* Bytes before, between or after the tensors of a worker's requests. */
struct request_text {
    const char *bytes;
    size_t count;
};

struct request_kind {
    const struct tensormap *inputs[KIND_INPUTS_MAX]; /* a map for each tensor of the request, in order */
    uint32_t input_count;
    const struct request_text *texts; /* input_count + 1 for each worker, in order */
    uint64_t batch;        /* tensors of each input in a request, at least 1 */
    uint64_t first_tensor; /* index in the first input of the first request's first tensor */
    union {                /* the replies that it expects, in the run's protocol */
        struct reply_plan plan;
        struct http_plan http;
        struct oip_outputs grpc;
        struct token_plan tokens;
    };
    const char *const *written; /* for each worker, the memory that the server writes outputs to; NULL: replies have them */
    size_t output_bytes;     /* of all outputs in a usual reply */
    size_t output_bytes_max; /* of all outputs in the longest reply that is allowed */
    size_t text_bytes;       /* of a usual reply without its outputs, at most */
    const char *references; /* the float32 output of each tensor, in order; NULL: outputs are not compared */
    float tolerance;        /* the largest allowed difference, absolute */
    double weight;          /* its share of the requests, relative to the other kinds; above 0, and at least a
                             * billionth of any other kind's */
    size_t id_at; /* of a message in a stream of inferences: where its id lies; see grpcstream.h */
};

/* The first commands on a connection; the server answers each with OK. */
struct greeting {
    const char *bytes;
    size_t count;
    uint32_t replies;
};

/* Return the index of the first tensor of an input that request `number` sends. */
static inline uint64_t kind_first_tensor(const struct request_kind *kind,
                                         const struct tensormap *input, uint64_t number)
{
    return (kind->first_tensor + number * kind->batch) % input->tensor_count;
}

#endif
