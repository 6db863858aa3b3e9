/* Tensors: immutable once made, and shared by reference count.
 *
 * A tensor is made with one reference; tensor_retain adds one, tensor_release drops one and frees at
 * the last. Retain on any thread. Release only where the tensor's blob may be freed (blob.h), which
 * in practice is the main thread; a tensor that an engine made may be released on any.
 */
#ifndef AIBENCH_TENSOR_H
#define AIBENCH_TENSOR_H

#include <stdatomic.h>

#include "blob.h"
#include "dtype.h"
#include "error.h"

/* No tensor is larger than the largest string that a client can send by default. */
#define TENSOR_MAX_BYTES ((size_t)512 << 20)

typedef struct Shape {
    size_t rank;
    int64_t *dims; /* each at least 1 */
} Shape;

typedef struct Tensor {
    atomic_uint references;
    DType dtype;
    Shape shape; /* dims: in the tensor's own allocation */
    Blob blob;   /* row-major, little-endian */
    int64_t dims[];
} Tensor;

/* The least bytes of a tensor of this type and shape (of STRING: every string empty).
 * REDISMODULE_ERR where a dimension is below 1 or the size is above TENSOR_MAX_BYTES. */
int tensor_measure(DType dtype, Shape shape, size_t *bytes, Error *error);

/* A tensor that takes the blob over. The shape is copied. Nothing is checked. */
Tensor *tensor_create(DType dtype, Shape shape, Blob blob);

/* Whether the bytes are a tensor of this type and shape: their number, that booleans are 0 or 1,
 * that strings are as many as elements and terminated. */
int tensor_check_data(DType dtype, Shape shape, const char *data, size_t bytes, Error *error);

Tensor *tensor_retain(Tensor *tensor);
void tensor_release(Tensor *tensor); /* NULL is let through */

size_t tensor_element_count(const Tensor *tensor);

/* Dimension 0, along which requests are batched; 1 for a tensor without dimensions. */
int64_t tensor_rows(const Tensor *tensor);

/* Same type and same dimensions after the first: rows of one can follow rows of the other. */
bool tensor_rows_match(const Tensor *a, const Tensor *b);

/* "[1,224,224,3]", cut to what fits; returns `text`. A dimension of -1 is written as "?". */
char *shape_format(Shape shape, char *text, size_t bytes);

#endif
