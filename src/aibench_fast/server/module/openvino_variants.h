/* A model compiled for the shapes that it is run with.
 *
 * A client's own shapes are compiled for exactly, which is fastest. Requests that are joined have
 * different rows from one execution to the next; for them dimension 0 is left free. Each of these
 * variants is kept, up to MAX_VARIANTS of a model.
 */
#ifndef AIBENCH_OPENVINO_VARIANTS_H
#define AIBENCH_OPENVINO_VARIANTS_H

#include <pthread.h>

#include "openvino_source.h"

#define MAX_VARIANTS 4

/* A compiled model's own inputs and outputs, for one run at a time. */
typedef struct Inference {
    ov_infer_request_t *handle;
    struct Variant *variant;
    struct Inference *next;
} Inference;

typedef struct Variant {
    ov_compiled_model_t *compiled;
    Shape *shapes;   /* of each input; a dimension of -1 is free */
    Inference *idle; /* as many were made as runs were under way at a time */
    size_t running;
    struct Variant *next;
} Variant;

typedef struct Variants {
    pthread_mutex_t lock; /* also of the source's shape, which compiling changes */
    Variant *first;       /* in the order of their last use, the latest first */
} Variants;

void variants_create(Variants *variants);
void variants_free(Variants *variants, const Source *source); /* nothing is running */

/* Compiles for these shapes of the inputs, unless that is done, and hands out an inference that no
 * one else has, to be given back with variants_end; NULL with the error set. Any thread. */
Inference *variants_begin(Variants *variants, const Source *source, const Shape *shapes,
                          Error *error);
void variants_end(Variants *variants, Inference *inference);

#endif
