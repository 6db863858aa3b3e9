/* A binary heap of things by when they are due.
 *
 * Memory: the queue owns its array; what is in it is the caller's, and knows its place. Adding returns -1
 * without memory. Threads: one.
 */
#ifndef AIBENCH_TOKENS_DUEQUEUE_H
#define AIBENCH_TOKENS_DUEQUEUE_H

#include <stddef.h>
#include <stdint.h>

#define NOT_DUE ((size_t)-1)

struct due {
    int64_t at_ns;
    size_t place; /* NOT_DUE: it is in no queue */
};

struct due_queue {
    struct due **heap;
    size_t count;
    size_t room;
};

int due_queue_add(struct due_queue *queue, struct due *due);

/* Move one that is in the queue to the place of its new time, which is no earlier than it was. */
void due_queue_later(struct due_queue *queue, struct due *due);

/* Remove one, if it is in the queue. */
void due_queue_remove(struct due_queue *queue, struct due *due);

static inline struct due *due_queue_first(const struct due_queue *queue)
{
    return queue->count ? queue->heap[0] : NULL;
}

#endif
