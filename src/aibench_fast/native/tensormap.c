#include "tensormap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "filemap.h"
#include "mapguard.h"

#ifndef MADV_POPULATE_READ /* glibc before 2.35 */
#define MADV_POPULATE_READ 22
#endif

/* Find how many tensors each file has; -1 with errno, and `failed`. */
static int count_tensors(struct tensormap *map, const struct iovec *files, const char *const *paths,
                         const char **failed)
{
    for (size_t i = 0; i < map->shard_count; i++) {
        *failed = paths[i];
        if (files[i].iov_len == 0 || map->tensor_bytes == 0 || files[i].iov_len % map->tensor_bytes != 0) {
            errno = EINVAL;
            return -1;
        }
        map->shards[i].first = map->tensor_count;
        map->tensor_count += files[i].iov_len / map->tensor_bytes;
    }
    map->shards[map->shard_count].first = map->tensor_count;
    return 0;
}

/* Map all files; -1 with errno, and `failed`. */
static int map_files(struct tensormap *map, struct iovec *files, const char *const *paths, const char **failed)
{
    if (filemap_measure(files, paths, map->shard_count, failed) < 0 ||
        count_tensors(map, files, paths, failed) < 0 ||
        filemap_open(files, paths, map->shard_count, &map->mapped_bytes, failed) < 0)
        return -1;
    map->base = files->iov_base;
    map->seamless_count = map->tensor_count;
    for (size_t i = 0; i < map->shard_count; i++) {
        map->shards[i].base = files[i].iov_base;
        if (map->shards[i].base != map->base + map->shards[i].first * map->tensor_bytes)
            map->seamless_count = 0;
    }
    return 0;
}

int tensormap_open(struct tensormap *map, const char *const *paths, size_t path_count,
                   size_t tensor_bytes, errstr_t errstr)
{
    const char *failed = *paths;
    struct iovec *files = calloc(path_count, sizeof *files);
    *map = (struct tensormap){
        .tensor_bytes = tensor_bytes,
        .shards = calloc(path_count + 1, sizeof *map->shards),
        .shard_count = path_count,
    };
    int status = files && map->shards ? map_files(map, files, paths, &failed) : -1;
    if (status < 0) {
        snprintf(errstr, ERRSTR_BYTES, "cannot map %s: %s", failed, strerror(errno));
        tensormap_close(map);
    }
    free(files);
    return status;
}

int tensormap_generate(struct tensormap *map, uint64_t tensor_count, size_t tensor_bytes,
                       enum tensor_dtype dtype, uint64_t seed, errstr_t errstr)
{
    size_t bytes = tensor_count * tensor_bytes;
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        snprintf(errstr, ERRSTR_BYTES, "cannot allocate %zu bytes for generated tensors: %s", bytes,
                 strerror(errno));
        map->base = NULL;
        return -1;
    }
    tensordata_fill(base, bytes, dtype, seed);
    mprotect(base, bytes, PROT_READ);
    *map = (struct tensormap){
        .base = base,
        .tensor_bytes = tensor_bytes,
        .tensor_count = tensor_count,
        .seamless_count = tensor_count,
        .mapped_bytes = bytes,
    };
    return 0;
}

int tensormap_of_batches(struct tensormap *map, uint64_t count, uint64_t batch, errstr_t errstr)
{
    *map = (struct tensormap){
        .tensor_count = count * batch,
        .batches = calloc(count, sizeof *map->batches),
    };
    if (map->batches != NULL)
        return 0;
    snprintf(errstr, ERRSTR_BYTES, "cannot allocate memory for %llu batches: %s", (unsigned long long)count,
             strerror(errno));
    return -1;
}

int tensormap_ring(struct tensormap *ring, const struct tensormap *of, uint64_t first, uint64_t count,
                   errstr_t errstr)
{
    if (tensormap_of_batches(ring, count, 1, errstr) < 0)
        return -1;
    for (uint64_t i = 0; i < count; i++)
        ring->batches[i] = of->batches[(first + i) % of->tensor_count];
    ring->base = of->base;
    ring->mapped_bytes = of->mapped_bytes;
    ring->is_borrowed = true;
    return 0;
}

void tensormap_populate(const struct tensormap *map)
{
    size_t memory_bytes = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    if (map->mapped_bytes <= memory_bytes / 2)
        madvise((void *)map->base, map->mapped_bytes, MADV_POPULATE_READ);
}

void tensormap_close(struct tensormap *map)
{
    if (!map->is_borrowed)
        filemap_close(map->base, map->mapped_bytes);
    free(map->shards);
    free(map->batches);
    map->base = NULL;
    map->shards = NULL;
    map->batches = NULL;
}

size_t tensormap_batch_iovecs(const struct tensormap *map, uint64_t batch)
{
    uint64_t shortest = map->tensor_count;
    if (map->seamless_count == 0)
        for (size_t i = 0; i < map->shard_count; i++) {
            uint64_t count = map->shards[i + 1].first - map->shards[i].first;
            shortest = count < shortest ? count : shortest;
        }
    return (size_t)(batch / shortest) + 2;
}

/* Find a tensor; return how many tensors follow without a gap, including itself. */
static uint64_t find_tensor(const struct tensormap *map, uint64_t index, const char **place)
{
    size_t low = 0, high = map->shard_count;
    if (map->seamless_count > 0) {
        *place = map->base + index * map->tensor_bytes;
        return map->tensor_count - index;
    }
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (map->shards[middle].first <= index)
            low = middle;
        else
            high = middle;
    }
    const struct tensormap_shard *shard = &map->shards[low];
    *place = shard->base + (index - shard->first) * map->tensor_bytes;
    return shard[1].first - index;
}

size_t tensormap_batch_around(const struct tensormap *map, uint64_t first, uint64_t batch,
                              struct iovec *iov)
{
    size_t used = 0;
    if (map->batches != NULL) {
        *iov = map->batches[first / batch];
        return 1;
    }
    while (batch > 0) {
        const char *place;
        uint64_t run = find_tensor(map, first, &place);
        if (run > batch)
            run = batch;
        iov[used].iov_base = (void *)place;
        iov[used].iov_len = run * map->tensor_bytes;
        used++;
        batch -= run;
        first = (first + run) % map->tensor_count;
    }
    iov->iov_base = (char *)iov->iov_base + map->lead_bytes;
    iov->iov_len -= map->lead_bytes;
    return used;
}

/* Not inlined: the function that jumps must not have variables that this one changes. */
static __attribute__((noinline)) void copy_runs(const struct iovec *runs, size_t count, char *out)
{
    for (; count > 0; count--, runs++) {
        memcpy(out, runs->iov_base, runs->iov_len);
        out += runs->iov_len;
    }
}

/* -1 if a file shrank. */
static int copy_guarded(const struct iovec *runs, size_t count, char *out)
{
    if (mapguard_enter())
        return -1;
    copy_runs(runs, count, out);
    mapguard_leave();
    return 0;
}

int tensormap_read(const struct tensormap *map, uint64_t first, uint64_t batch, char *out,
                   errstr_t errstr)
{
    struct iovec *runs = calloc(tensormap_batch_iovecs(map, batch), sizeof(*runs));
    int status = runs ? copy_guarded(runs, tensormap_batch(map, first, batch, runs), out) : -1;
    if (status < 0)
        snprintf(errstr, ERRSTR_BYTES, "cannot read the tensors: %s",
                 strerror(runs ? ENODATA : ENOMEM));
    free(runs);
    return status;
}
