/* Files mapped read-only into one range of addresses, one behind another; each begins at a page of its own.
 *
 * Memory: filemap_open maps, filemap_close unmaps; arrays are the caller's. No file stays open. Units: bytes.
 * Return codes: 0, or -1 with errno, and the path of the file that failed.
 * Threads: after opening, any number may read.
 */
#ifndef AIBENCH_FILEMAP_H
#define AIBENCH_FILEMAP_H

#include <stddef.h>
#include <sys/uio.h>

/* Set the iov_len of each of `files` to the size of its file. */
int filemap_measure(struct iovec *files, const char *const *paths, size_t count, const char **failed);

/* Map files of the sizes that were measured, and set the iov_base of each; EAGAIN if a size changed since. */
int filemap_open(struct iovec *files, const char *const *paths, size_t count, size_t *mapped_bytes,
                 const char **failed);

/* `base`: the first file's iov_base, or NULL. */
void filemap_close(const void *base, size_t mapped_bytes);

#endif
