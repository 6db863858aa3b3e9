#include "sendlog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_EVENTS 16384

struct send_log_block {
    struct send_log_block *next;
    size_t count;
    struct sent_event events[BLOCK_EVENTS];
};

void send_log_add(struct send_log *log, struct sent_event event)
{
    struct send_log_block *block = log->last;
    if (block == NULL || block->count == BLOCK_EVENTS) {
        block = malloc(sizeof(*block));
        if (block == NULL)
            abort();
        block->next = NULL;
        block->count = 0;
        *(log->last ? &log->last->next : &log->first) = block;
        log->last = block;
    }
    block->events[block->count++] = event;
}

int send_log_save(const struct send_log *log, const char *file)
{
    FILE *out = fopen(file, "wb");
    int is_bad = out == NULL;
    for (const struct send_log_block *block = log->first; block && !is_bad; block = block->next)
        is_bad = fwrite(block->events, sizeof(*block->events), block->count, out) != block->count;
    if (out != NULL && fclose(out) != 0)
        is_bad = 1;
    if (is_bad)
        fprintf(stderr, "cannot write the log %s: %s\n", file, strerror(errno));
    return is_bad ? -1 : 0;
}
