#include "mempool.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_SHIFT 6 /* the smallest blocks have 64 bytes with their head */
#define MOST_SHIFT 15 /* and the largest of a slab 32 KiB, with their heads */
#define CLASSES (MOST_SHIFT - LEAST_SHIFT + 1)

/* Precedes each block. */
struct head {
    alignas(max_align_t) size_t bytes; /* of the block, without its head */
    struct head *next;                 /* while it is free, or of the blocks by themselves */
    struct head *previous;             /* of the blocks by themselves */
};

struct slab {
    alignas(max_align_t) struct slab *next;
};

struct mempool {
    size_t slab_bytes;
    struct slab *slabs;
    char *rest; /* what is not cut yet of the newest slab */
    size_t rest_bytes;
    struct head *free[CLASSES];
    struct head alone; /* a ring of the blocks by themselves */
};

static bool add_slab(struct mempool *pool)
{
    struct slab *slab = malloc(sizeof *slab + pool->slab_bytes);
    if (slab == NULL)
        return false;
    slab->next = pool->slabs;
    pool->slabs = slab;
    pool->rest = (char *)(slab + 1);
    pool->rest_bytes = pool->slab_bytes;
    return true;
}

struct mempool *mempool_open(size_t slab_bytes)
{
    struct mempool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return NULL;
    pool->slab_bytes = slab_bytes > ((size_t)1 << MOST_SHIFT) ? slab_bytes : (size_t)1 << MOST_SHIFT;
    pool->alone.next = pool->alone.previous = &pool->alone;
    if (!add_slab(pool)) {
        free(pool);
        return NULL;
    }
    return pool;
}

void mempool_close(struct mempool *pool)
{
    while (pool->alone.next != &pool->alone)
        mempool_give(pool, pool->alone.next + 1);
    while (pool->slabs != NULL) {
        struct slab *next = pool->slabs->next;
        free(pool->slabs);
        pool->slabs = next;
    }
    free(pool);
}

/* Return the class of blocks that hold so many bytes with their head; CLASSES or more: none does. */
static unsigned class_of(size_t bytes)
{
    size_t whole = bytes + sizeof(struct head);
    if (whole <= (size_t)1 << LEAST_SHIFT)
        return 0;
    return 64 - LEAST_SHIFT - (unsigned)__builtin_clzll((unsigned long long)whole - 1);
}

static void *take_alone(struct mempool *pool, size_t bytes)
{
    struct head *head = bytes < SIZE_MAX - sizeof *head ? malloc(sizeof *head + bytes) : NULL;
    if (head == NULL)
        return NULL;
    head->bytes = bytes;
    head->next = pool->alone.next;
    head->previous = &pool->alone;
    head->next->previous = head;
    pool->alone.next = head;
    return head + 1;
}

void *mempool_take(struct mempool *pool, size_t bytes)
{
    unsigned class = class_of(bytes);
    if (class >= CLASSES)
        return take_alone(pool, bytes);
    struct head *head = pool->free[class];
    if (head != NULL) {
        pool->free[class] = head->next;
        return head + 1;
    }
    size_t whole = (size_t)1 << (class + LEAST_SHIFT);
    if (pool->rest_bytes < whole && !add_slab(pool))
        return NULL;
    head = (struct head *)pool->rest;
    pool->rest += whole;
    pool->rest_bytes -= whole;
    head->bytes = whole - sizeof *head;
    return head + 1;
}

void *mempool_resize(struct mempool *pool, void *block, size_t bytes)
{
    size_t before = block ? ((struct head *)block - 1)->bytes : 0;
    if (block != NULL && bytes <= before)
        return block;
    void *larger = mempool_take(pool, bytes);
    if (larger == NULL)
        return NULL;
    if (before > 0)
        memcpy(larger, block, before);
    mempool_give(pool, block);
    return larger;
}

void mempool_give(struct mempool *pool, void *block)
{
    if (block == NULL)
        return;
    struct head *head = (struct head *)block - 1;
    unsigned class = class_of(head->bytes);
    if (class >= CLASSES) {
        head->next->previous = head->previous;
        head->previous->next = head->next;
        free(head);
        return;
    }
    head->next = pool->free[class];
    pool->free[class] = head;
}
