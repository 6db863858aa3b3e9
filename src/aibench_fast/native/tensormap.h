/* A tensor file mapped read-only. The pages are the file's own: nothing is copied.
 *
 * Memory: tensormap_open maps, tensormap_close unmaps; the map must outlive every thread that
 * sends from it. Units: bytes.
 * Returns 0, or -1 with errno's text in `errstr`.
 * Threads: after opening, any number may read.
 */
#ifndef AIBENCH_TENSORMAP_H
#define AIBENCH_TENSORMAP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "errstr.h"

struct tensormap {
    const char *base;
    size_t tensor_bytes;
    uint64_t tensor_count;
};

/* Map the file at `path`, which holds a whole number of tensors of `tensor_bytes` each. */
int tensormap_open(struct tensormap *map, const char *path, size_t tensor_bytes, errstr_t errstr);

void tensormap_close(struct tensormap *map);

/* The most iovecs that a batch needs: it starts anywhere and goes on at the file's beginning. */
size_t tensormap_batch_iovecs(const struct tensormap *map, uint64_t batch);

/* Fill `iov` with `batch` tensors from index `first` on, the file taken as a ring; return how many
 * iovecs that took. */
size_t tensormap_batch(const struct tensormap *map, uint64_t first, uint64_t batch,
                       struct iovec *iov);

#endif
