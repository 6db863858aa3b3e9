/* Bodies of requests in mapped files: a map of tensors, each a batch of its own length, whose pages are used without a
 * copy.
 *
 * Memory: tensormap_close frees what these map. Units: bytes.
 * Return codes: 0, or -1 with the reason in `errstr`.
 * Threads: after opening, any number may read.
 */
#ifndef AIBENCH_BODYMAP_H
#define AIBENCH_BODYMAP_H

#include <stddef.h>

#include "errstr.h"
#include "tensormap.h"

/* Map files, each of which is a body, even an empty one. */
int bodymap_open_files(struct tensormap *map, const char *const *paths, size_t count, errstr_t errstr);

/* Map a file each of whose lines is a body: without the white space around it, and if it is more than that. There may be
 * none. */
int bodymap_open_lines(struct tensormap *map, const char *path, errstr_t errstr);

#endif
