#include "filemap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mapguard.h"

/* Return the size of the pages that a file takes. */
static size_t page_bytes(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

int filemap_measure(struct iovec *files, const char *const *paths, size_t count, const char **failed)
{
    struct stat status;
    for (size_t i = 0; i < count; i++) {
        *failed = paths[i];
        if (stat(paths[i], &status) < 0)
            return -1;
        files[i].iov_len = (size_t)status.st_size;
    }
    return 0;
}

/* Map a file of exactly `bytes` bytes at an address; -1 with errno. */
static int map_file(const char *path, size_t bytes, void *place)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *mapped = MAP_FAILED;
    if (fd >= 0 && fstat(fd, &status) == 0) {
        errno = EAGAIN; /* its size changed */
        if ((size_t)status.st_size == bytes)
            mapped = bytes ? mmap(place, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) : place;
    }
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return mapped == MAP_FAILED ? -1 : 0;
}

int filemap_open(struct iovec *files, const char *const *paths, size_t count, size_t *mapped_bytes,
                 const char **failed)
{
    mapguard_install();
    *mapped_bytes = 0;
    *failed = *paths;
    for (size_t i = 0; i < count; i++)
        *mapped_bytes += page_bytes(files[i].iov_len);
    if (*mapped_bytes == 0) /* empty files */
        *mapped_bytes = page_bytes(1);
    /* Addresses without memory. */
    char *range = mmap(NULL, *mapped_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED)
        return -1;
    char *place = range;
    for (size_t i = 0; i < count; i++) {
        *failed = paths[i];
        files[i].iov_base = place;
        if (map_file(paths[i], files[i].iov_len, place) < 0) {
            int error = errno;
            munmap(range, *mapped_bytes);
            errno = error;
            return -1;
        }
        place += page_bytes(files[i].iov_len);
    }
    return 0;
}

void filemap_close(const void *base, size_t mapped_bytes)
{
    if (base != NULL)
        munmap((void *)base, mapped_bytes);
}
