/* Tensors mapped read-only: those of a file, whose pages are the file's own, so that nothing is
 * copied, generated ones, or their text.
 *
 * Memory: tensormap_open, tensormap_generate and jsontensors_finish map, tensormap_close unmaps; the map must outlive
 * every thread that sends from it. Units: bytes.
 * Returns 0, or -1 with errno's text in `errstr`.
 * Threads: after opening, any number may read.
 */
#ifndef AIBENCH_TENSORMAP_H
#define AIBENCH_TENSORMAP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "errstr.h"
#include "tensordata.h"

struct tensormap {
    const char *base;
    size_t tensor_bytes;
    uint64_t tensor_count;
    size_t lead_bytes; /* of each tensor, that a batch's first is sent without: a separator before a text */
    int fd; /* of the file; -1 where there is none */
};

/* Map the file at `path`, which holds a whole number of tensors of `tensor_bytes` each. */
int tensormap_open(struct tensormap *map, const char *path, size_t tensor_bytes, errstr_t errstr);

/* Map memory of our own and fill it with `tensor_count` tensors drawn from the seed. */
int tensormap_generate(struct tensormap *map, uint64_t tensor_count, size_t tensor_bytes,
                       enum tensor_dtype dtype, uint64_t seed, errstr_t errstr);

/* Enter the map's pages into the process's page table, so that sending them takes no page fault; reads
 * what of a file is not in the page cache. Does nothing where the map would fill half the memory, or
 * where the kernel cannot (before Linux 5.14): the pages then come one by one, as they are sent. */
void tensormap_populate(const struct tensormap *map);

void tensormap_close(struct tensormap *map);

/* The most iovecs that a batch needs: it starts anywhere and goes on at the first tensor. */
size_t tensormap_batch_iovecs(const struct tensormap *map, uint64_t batch);

/* The bytes of a batch. */
static inline size_t tensormap_batch_bytes(const struct tensormap *map, uint64_t batch)
{
    return batch * map->tensor_bytes - map->lead_bytes;
}

/* As tensormap_batch, of a batch that may reach around the end. */
size_t tensormap_batch_around(const struct tensormap *map, uint64_t first, uint64_t batch,
                              struct iovec *iov);

/* Fill `iov` with `batch` tensors from index `first` on, the map taken as a ring; return how many
 * iovecs that took. */
static inline size_t tensormap_batch(const struct tensormap *map, uint64_t first, uint64_t batch,
                                     struct iovec *iov)
{
    if (first + batch > map->tensor_count)
        return tensormap_batch_around(map, first, batch, iov);
    iov->iov_base = (char *)map->base + first * map->tensor_bytes + map->lead_bytes;
    iov->iov_len = tensormap_batch_bytes(map, batch);
    return 1;
}

/* Copy the same tensors to `out`; -1 too where the file shrank meanwhile. */
int tensormap_read(const struct tensormap *map, uint64_t first, uint64_t batch, char *out,
                   errstr_t errstr);

#endif
