#include "tensormap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ /* glibc before 2.35 */
#define MADV_POPULATE_READ 22
#endif

int tensormap_open(struct tensormap *map, const char *path, size_t tensor_bytes, errstr_t errstr)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        goto error;
    if (status.st_size == 0 || tensor_bytes == 0 || (size_t)status.st_size % tensor_bytes != 0) {
        errno = EINVAL;
        goto error;
    }
    map->base = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (map->base == MAP_FAILED)
        goto error;
    map->fd = fd;
    map->tensor_bytes = tensor_bytes;
    map->tensor_count = (uint64_t)status.st_size / tensor_bytes;
    map->lead_bytes = 0;
    return 0;
error:
    snprintf(errstr, ERRSTR_BYTES, "cannot map %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    map->base = NULL;
    return -1;
}

int tensormap_generate(struct tensormap *map, uint64_t tensor_count, size_t tensor_bytes,
                       enum tensor_dtype dtype, uint64_t seed, errstr_t errstr)
{
    size_t bytes = tensor_count * tensor_bytes;
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        snprintf(errstr, ERRSTR_BYTES, "cannot have %zu bytes for generated tensors: %s", bytes,
                 strerror(errno));
        map->base = NULL;
        return -1;
    }
    tensordata_fill(base, bytes, dtype, seed);
    mprotect(base, bytes, PROT_READ);
    *map = (struct tensormap){base, tensor_bytes, tensor_count, 0, -1};
    return 0;
}

void tensormap_populate(const struct tensormap *map)
{
    size_t bytes = map->tensor_bytes * map->tensor_count;
    size_t memory_bytes = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    if (bytes <= memory_bytes / 2)
        madvise((void *)map->base, bytes, MADV_POPULATE_READ);
}

void tensormap_close(struct tensormap *map)
{
    if (map->base == NULL)
        return;
    munmap((void *)map->base, map->tensor_bytes * map->tensor_count);
    if (map->fd >= 0)
        close(map->fd);
    map->base = NULL;
}

size_t tensormap_batch_iovecs(const struct tensormap *map, uint64_t batch)
{
    return (size_t)(batch / map->tensor_count) + 2;
}

size_t tensormap_batch_around(const struct tensormap *map, uint64_t first, uint64_t batch,
                              struct iovec *iov)
{
    size_t used = 0;
    while (batch > 0) {
        uint64_t run = map->tensor_count - first;
        if (run > batch)
            run = batch;
        iov[used].iov_base = (void *)(map->base + first * map->tensor_bytes);
        iov[used].iov_len = run * map->tensor_bytes;
        used++;
        batch -= run;
        first = 0;
    }
    iov->iov_base = (char *)iov->iov_base + map->lead_bytes;
    iov->iov_len -= map->lead_bytes;
    return used;
}

/* Copy by read calls, for the pages of a file that shrank raise SIGBUS. */
static int read_file(int fd, off_t offset, char *out, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = pread(fd, out, bytes, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENODATA;
        if (n <= 0)
            return -1;
        out += n;
        offset += n;
        bytes -= (size_t)n;
    }
    return 0;
}

int tensormap_read(const struct tensormap *map, uint64_t first, uint64_t batch, char *out,
                   errstr_t errstr)
{
    struct iovec *runs = calloc(tensormap_batch_iovecs(map, batch), sizeof(*runs));
    size_t count = runs ? tensormap_batch(map, first, batch, runs) : 0;
    int status = runs ? 0 : -1;
    for (size_t i = 0; i < count && status == 0; i++) {
        const char *from = runs[i].iov_base;
        if (map->fd < 0)
            memcpy(out, from, runs[i].iov_len);
        else
            status = read_file(map->fd, from - map->base, out, runs[i].iov_len);
        out += runs[i].iov_len;
    }
    if (status < 0)
        snprintf(errstr, ERRSTR_BYTES, "cannot read the tensors: %s", strerror(errno));
    free(runs);
    return status;
}
