/* Shared by the bare loops. A failure ends the program. Nothing here is freed. */
#ifndef AIBENCH_BARE_H
#define AIBENCH_BARE_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static inline void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static inline void write_all(int fd, struct iovec *iov, int count)
{
    while (count > 0) {
        ssize_t sent = writev(fd, iov, count);
        if (sent < 0)
            fail("writev", strerror(errno));
        while (count > 0 && (size_t)sent >= iov->iov_len) {
            sent -= (ssize_t)iov->iov_len;
            iov++;
            count--;
        }
        if (count > 0) {
            iov->iov_base = (char *)iov->iov_base + sent;
            iov->iov_len -= (size_t)sent;
        }
    }
}

/* Map a file, to read it alone. */
static inline const char *map_file(const char *path, size_t *bytes)
{
    struct stat status;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &status) < 0)
        fail(path, strerror(errno));
    *bytes = (size_t)status.st_size;
    return mmap(NULL, *bytes, PROT_READ, MAP_SHARED, fd, 0);
}

static inline double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* CPU time of the process. */
static inline double cpu_s(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

#endif
