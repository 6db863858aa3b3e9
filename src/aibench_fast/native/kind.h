/* A kind of request: the model it asks, the tensors it sends, and what it is answered. A run has one
 * kind, or a mix of several with weights.
 *
 * Memory: everything is borrowed, and must outlive the load generator.
 * Threads: read-only, shared by all.
 */
#ifndef AIBENCH_KIND_H
#define AIBENCH_KIND_H

#include <stddef.h>
#include <stdint.h>

#include "http.h"
#include "resp.h"
#include "splitmix.h"
#include "tensormap.h"

/* Each has a reply. With those of the run and of 16 outputs, each behind an ASKING, they fit in a plan. */
#define KIND_INPUTS_MAX 14
#define KINDS_MAX 64

/* Bytes that a worker sends before, between or after the tensors of its request. */
struct request_text {
    const char *bytes;
    size_t count;
};

struct request_kind {
    const struct tensormap *inputs[KIND_INPUTS_MAX]; /* one map a tensor of the request, in order */
    uint32_t input_count;
    const struct request_text *texts; /* input_count + 1 of them for each worker, in order */
    uint64_t batch;        /* tensors of each input a request, at least 1 */
    uint64_t first_tensor; /* where in the first input the first request starts */
    union {                /* what it is answered, in the run's protocol */
        struct reply_plan plan;
        struct http_plan http;
    };
    size_t output_bytes;     /* of all outputs together, as replies usually have them */
    size_t output_bytes_max; /* the most that they may have */
    size_t text_bytes;       /* the most that a usual reply has beside them */
    const char *references; /* float32 outputs, one a tensor, in order; NULL: not compared */
    float tolerance;        /* the largest difference allowed, absolute */
    double weight;          /* its share of the requests, relative to the other kinds'; above 0, and
                             * at least a billionth of any other's */
};

/* What a connection begins with: commands, each of which is answered by OK. */
struct greeting {
    const char *bytes;
    size_t count;
    uint32_t replies;
};

/* The index of the first tensor that request `number` sends of an input. */
static inline uint64_t kind_first_tensor(const struct request_kind *kind,
                                         const struct tensormap *input, uint64_t number)
{
    return (kind->first_tensor + number * kind->batch) % input->tensor_count;
}

#endif
