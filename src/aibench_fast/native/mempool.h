/* Memory that is allocated once and used again: blocks by size, cut from slabs that are freed together. For a library
 * that allocates and frees the same few objects for each request.
 *
 * Memory: mempool_open allocates the pool with its first slab, mempool_close frees everything. A block too large for a
 * slab is allocated and freed by itself.
 * Units: bytes. Without memory functions return NULL, and a resized block stays as it is.
 * Threads: one at a time uses a pool.
 */
#ifndef AIBENCH_MEMPOOL_H
#define AIBENCH_MEMPOOL_H

#include <stddef.h>

struct mempool;

/* `slab_bytes`: the size of each slab. */
struct mempool *mempool_open(size_t slab_bytes);

void mempool_close(struct mempool *pool);

void *mempool_take(struct mempool *pool, size_t bytes);

void *mempool_resize(struct mempool *pool, void *block, size_t bytes);

/* NULL is allowed, as for free(). */
void mempool_give(struct mempool *pool, void *block);

#endif
