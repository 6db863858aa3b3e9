#include "bodymap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filemap.h"
#include "mapguard.h"

static int failed(struct tensormap *map, const char *path, errstr_t errstr)
{
    snprintf(errstr, ERRSTR_BYTES, "cannot map %s: %s", path, strerror(errno));
    tensormap_close(map);
    return -1;
}

int bodymap_open_files(struct tensormap *map, const char *const *paths, size_t count, errstr_t errstr)
{
    const char *path = *paths;
    if (tensormap_of_batches(map, count, 1, errstr) < 0)
        return -1;
    if (filemap_measure(map->batches, paths, count, &path) < 0 ||
        filemap_open(map->batches, paths, count, &map->mapped_bytes, &path) < 0)
        return failed(map, path, errstr);
    map->base = map->batches->iov_base;
    return 0;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Take the next line that is a body from what is left of a file; false at its end. */
static bool next_line(struct iovec *left, struct iovec *line)
{
    const char *from = left->iov_base, *end = from + left->iov_len;
    while (from < end && is_space(*from))
        from++;
    const char *newline = from < end ? memchr(from, '\n', (size_t)(end - from)) : NULL;
    const char *to = newline ? newline : end;
    left->iov_base = (char *)to;
    left->iov_len = (size_t)(end - to);
    while (to > from && is_space(to[-1]))
        to--;
    line->iov_base = (char *)from;
    line->iov_len = (size_t)(to - from);
    return line->iov_len > 0;
}

/* Not inlined: the function that jumps must not have variables that this one changes. */
static __attribute__((noinline)) size_t count_lines(struct iovec left)
{
    struct iovec line;
    size_t count = 0;
    while (next_line(&left, &line))
        count++;
    return count;
}

static __attribute__((noinline)) void find_lines(struct iovec left, struct iovec *lines, size_t count)
{
    for (size_t i = 0; i < count; i++)
        next_line(&left, &lines[i]);
}

/* -1 with errno, also if the file shrank. */
static int read_lines(struct tensormap *map, struct iovec file)
{
    if (mapguard_enter()) {
        errno = ENODATA;
        return -1;
    }
    map->tensor_count = count_lines(file);
    mapguard_leave();
    map->batches = calloc(map->tensor_count + 1, sizeof *map->batches);
    if (map->batches == NULL)
        return -1;
    if (mapguard_enter()) {
        errno = ENODATA;
        return -1;
    }
    find_lines(file, map->batches, map->tensor_count);
    mapguard_leave();
    return 0;
}

int bodymap_open_lines(struct tensormap *map, const char *path, errstr_t errstr)
{
    struct iovec file;
    *map = (struct tensormap){0};
    if (filemap_measure(&file, &path, 1, &path) < 0 ||
        filemap_open(&file, &path, 1, &map->mapped_bytes, &path) < 0)
        return failed(map, path, errstr);
    map->base = file.iov_base;
    return read_lines(map, file) < 0 ? failed(map, path, errstr) : 0;
}
