/* Tensors mapped read-only: those of a file or of several, its shards, whose pages are the files' own, so
 * that nothing is copied, generated ones, or their text. Or whole batches of them in memory of someone else's,
 * each of its own length, as tensors of strings are.
 *
 * Shards follow one another in one range of addresses. Where each but the last fills its pages, as images of
 * 224 x 224 do, there is no gap between them, and they are to a request what one file is: it costs no
 * instruction more. Elsewhere a shard begins at the next page, and a batch asks which shard it is in: some 100
 * instructions of a request's 2,000.
 *
 * Memory: tensormap_open, tensormap_generate and jsontensors_finish map, tensormap_close unmaps; the map must outlive
 * every thread that sends from it. What `batches` point to is the caller's. No file stays open. Units: bytes.
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

struct tensormap_shard {
    uint64_t first; /* its first tensor, of all */
    const char *base;
};

struct tensormap {
    const char *base;
    size_t tensor_bytes;
    uint64_t tensor_count;
    uint64_t seamless_count; /* tensors that follow one another without a gap: all, or 0 for none */
    size_t lead_bytes; /* of each tensor, that a batch's first is sent without: a separator before a text */
    size_t mapped_bytes;
    struct tensormap_shard *shards; /* where there are gaps: of each file, and one more behind the last */
    size_t shard_count;
    struct iovec *batches; /* where lengths vary: of each batch what is sent, by its first tensor; else NULL */
};

/* Map the files, one or more, each of which holds a whole number of tensors of `tensor_bytes` each. */
int tensormap_open(struct tensormap *map, const char *const *paths, size_t path_count,
                   size_t tensor_bytes, errstr_t errstr);

/* Map memory of our own and fill it with `tensor_count` tensors drawn from the seed. */
int tensormap_generate(struct tensormap *map, uint64_t tensor_count, size_t tensor_bytes,
                       enum tensor_dtype dtype, uint64_t seed, errstr_t errstr);

/* Make a map of `count` batches of `batch` tensors each, to be pointed to in `batches`. */
int tensormap_of_batches(struct tensormap *map, uint64_t count, uint64_t batch, errstr_t errstr);

/* Enter the map's pages into the process's page table, so that sending them takes no page fault; reads
 * what of a file is not in the page cache. Does nothing where the map would fill half the memory, or
 * where the kernel cannot (before Linux 5.14): the pages then come one by one, as they are sent. */
void tensormap_populate(const struct tensormap *map);

void tensormap_close(struct tensormap *map);

/* The most iovecs that a batch needs: it starts anywhere, and goes on at the first tensor and over gaps. */
size_t tensormap_batch_iovecs(const struct tensormap *map, uint64_t batch);

/* The bytes of the batch from index `first` on. */
static inline size_t tensormap_batch_bytes(const struct tensormap *map, uint64_t first, uint64_t batch)
{
    if (map->batches != NULL)
        return map->batches[first / batch].iov_len;
    return batch * map->tensor_bytes - map->lead_bytes;
}

/* As tensormap_batch, of a batch that may reach around the end or over gaps, or that has its own length. */
size_t tensormap_batch_around(const struct tensormap *map, uint64_t first, uint64_t batch,
                              struct iovec *iov);

/* Fill `iov` with `batch` tensors from index `first` on, the map taken as a ring; return how many
 * iovecs that took. */
static inline size_t tensormap_batch(const struct tensormap *map, uint64_t first, uint64_t batch,
                                     struct iovec *iov)
{
    if (first + batch > map->seamless_count)
        return tensormap_batch_around(map, first, batch, iov);
    iov->iov_base = (char *)map->base + first * map->tensor_bytes + map->lead_bytes;
    iov->iov_len = batch * map->tensor_bytes - map->lead_bytes;
    return 1;
}

/* Copy the same tensors to `out`; -1 too where a file shrank meanwhile. */
int tensormap_read(const struct tensormap *map, uint64_t first, uint64_t batch, char *out,
                   errstr_t errstr);

#endif
