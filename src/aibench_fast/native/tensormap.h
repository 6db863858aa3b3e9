/* Tensors in read-only memory: a mapped file or its shards, whose pages are used without a copy; generated tensors; or
 * their JSON texts. Tensors of strings are whole batches instead, each of its own length, in memory of the caller.
 *
 * Shards follow one another in one range of addresses. If each but the last fills its pages, as images of 224 x 224 do,
 * there is no gap between them, and a request costs no more than with one file. Otherwise a shard begins at the next
 * page, and finding a batch's shard costs about 100 instructions of a request's 2,000.
 *
 * Memory: tensormap_open, tensormap_generate and jsontensors_finish map, tensormap_close unmaps; the map must outlive
 * every thread that sends from it. The caller owns what `batches` point to. No file stays open. Units: bytes.
 * Return codes: 0, or -1 with errno's text in `errstr`.
 * Threads: after opening, any number may read.
 */
#ifndef AIBENCH_TENSORMAP_H
#define AIBENCH_TENSORMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "errstr.h"
#include "tensordata.h"

struct tensormap_shard {
    uint64_t first; /* index of its first tensor, among all */
    const char *base;
};

struct tensormap {
    const char *base;
    size_t tensor_bytes;
    uint64_t tensor_count;
    uint64_t seamless_count; /* how many tensors follow one another without a gap: all, or 0 */
    size_t lead_bytes; /* a batch is sent without the first so many bytes: the separator before a text */
    size_t mapped_bytes;
    struct tensormap_shard *shards; /* with gaps: one for each file, and one more after the last; otherwise NULL */
    size_t shard_count;
    struct iovec *batches; /* with varying lengths: the bytes of each batch, in order; otherwise NULL */
    bool is_borrowed; /* another map's pages */
};

/* Map one file or more. Each holds a whole number of tensors of `tensor_bytes`. */
int tensormap_open(struct tensormap *map, const char *const *paths, size_t path_count,
                   size_t tensor_bytes, errstr_t errstr);

/* Map anonymous memory and fill it with `tensor_count` tensors, generated from the seed. */
int tensormap_generate(struct tensormap *map, uint64_t tensor_count, size_t tensor_bytes,
                       enum tensor_dtype dtype, uint64_t seed, errstr_t errstr);

/* Make a map of `count` batches of `batch` tensors each; the caller then fills in `batches`. */
int tensormap_of_batches(struct tensormap *map, uint64_t count, uint64_t batch, errstr_t errstr);

/* Make a map of `count` batches of `of`, each of one tensor: from `first` on, wrapping around at the end. `of` must outlive
 * it. */
int tensormap_ring(struct tensormap *ring, const struct tensormap *of, uint64_t first, uint64_t count,
                   errstr_t errstr);

/* Enter the map's pages into the process's page table, so that sending causes no page fault; reads the parts of a file
 * that are not in the page cache. Does nothing if the map would fill half the memory, or before Linux 5.14: pages are
 * then entered one by one as they are sent. */
void tensormap_populate(const struct tensormap *map);

void tensormap_close(struct tensormap *map);

/* Return how many iovecs a batch needs at most: it may start anywhere, wrap around the end, and cross gaps. */
size_t tensormap_batch_iovecs(const struct tensormap *map, uint64_t batch);

/* Return the size of the batch from index `first` on. */
static inline size_t tensormap_batch_bytes(const struct tensormap *map, uint64_t first, uint64_t batch)
{
    if (map->batches != NULL)
        return map->batches[first / batch].iov_len;
    return batch * map->tensor_bytes - map->lead_bytes;
}

/* tensormap_batch for a batch that may wrap around the end, cross gaps, or have its own length. */
size_t tensormap_batch_around(const struct tensormap *map, uint64_t first, uint64_t batch,
                              struct iovec *iov);

/* Fill `iov` with `batch` tensors from index `first` on, wrapping around at the end. Return the number of iovecs. */
static inline size_t tensormap_batch(const struct tensormap *map, uint64_t first, uint64_t batch,
                                     struct iovec *iov)
{
    if (first + batch > map->seamless_count)
        return tensormap_batch_around(map, first, batch, iov);
    iov->iov_base = (char *)map->base + first * map->tensor_bytes + map->lead_bytes;
    iov->iov_len = batch * map->tensor_bytes - map->lead_bytes;
    return 1;
}

/* Copy the same tensors to `out`. -1 also if a file has shrunk. */
int tensormap_read(const struct tensormap *map, uint64_t first, uint64_t batch, char *out,
                   errstr_t errstr);

#endif
