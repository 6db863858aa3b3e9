#include "duequeue.h"

#include <stdlib.h>

static void put(struct due_queue *queue, size_t place, struct due *due)
{
    queue->heap[place] = due;
    due->place = place;
}

static void up(struct due_queue *queue, size_t place, struct due *due)
{
    while (place > 0) {
        size_t parent = (place - 1) / 2;
        if (queue->heap[parent]->at_ns <= due->at_ns)
            break;
        put(queue, place, queue->heap[parent]);
        place = parent;
    }
    put(queue, place, due);
}

static void down(struct due_queue *queue, size_t place, struct due *due)
{
    for (;;) {
        size_t child = 2 * place + 1;
        if (child >= queue->count)
            break;
        if (child + 1 < queue->count && queue->heap[child + 1]->at_ns < queue->heap[child]->at_ns)
            child++;
        if (due->at_ns <= queue->heap[child]->at_ns)
            break;
        put(queue, place, queue->heap[child]);
        place = child;
    }
    put(queue, place, due);
}

int due_queue_add(struct due_queue *queue, struct due *due)
{
    if (queue->count == queue->room) {
        size_t room = queue->room ? 2 * queue->room : 1024;
        struct due **heap = realloc(queue->heap, room * sizeof(*heap));
        if (heap == NULL)
            return -1;
        queue->heap = heap;
        queue->room = room;
    }
    up(queue, queue->count++, due);
    return 0;
}

void due_queue_later(struct due_queue *queue, struct due *due)
{
    down(queue, due->place, due);
}

void due_queue_remove(struct due_queue *queue, struct due *due)
{
    size_t place = due->place;
    if (place == NOT_DUE)
        return;
    due->place = NOT_DUE;
    struct due *last = queue->heap[--queue->count];
    if (last == due)
        return;
    up(queue, place, last);
    down(queue, last->place, last);
}
