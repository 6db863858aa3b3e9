#include "tensormap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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
    close(fd);
    map->tensor_bytes = tensor_bytes;
    map->tensor_count = (uint64_t)status.st_size / tensor_bytes;
    return 0;
error:
    snprintf(errstr, ERRSTR_BYTES, "cannot map %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    map->base = NULL;
    return -1;
}

void tensormap_close(struct tensormap *map)
{
    if (map->base)
        munmap((void *)map->base, map->tensor_bytes * map->tensor_count);
    map->base = NULL;
}

size_t tensormap_batch_iovecs(const struct tensormap *map, uint64_t batch)
{
    return (size_t)(batch / map->tensor_count) + 2;
}

size_t tensormap_batch(const struct tensormap *map, uint64_t first, uint64_t batch,
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
    return used;
}
