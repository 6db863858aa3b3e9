/* When each event was sent, kept in memory until the end so that logging takes no time then.
 *
 * Memory: the log owns its blocks until the process ends. Threads: one.
 */
#ifndef AIBENCH_TOKENS_SENDLOG_H
#define AIBENCH_TOKENS_SENDLOG_H

#include <stdint.h>

enum sent { /* flags of an event; the first six are those of the client's log */
    SENT_ROLE = 1 << 0,
    SENT_CONTENT = 1 << 1,
    SENT_REASONING = 1 << 2,
    SENT_FINISH = 1 << 3,
    SENT_USAGE = 1 << 4,
    SENT_DONE = 1 << 5,
    REQUEST_CAME = 1 << 6,
};

struct sent_event { /* 16 bytes, as they are in the file: little-endian */
    uint16_t port;  /* the client's */
    uint16_t flags;
    uint32_t request; /* of its connection, from 0 on */
    int64_t at_ns;    /* CLOCK_MONOTONIC, right before the send that carried it */
};

struct send_log {
    struct send_log_block *first, *last; /* NULL until the first event */
    int is_on;
};

/* Ends the process without memory: a log with holes would deceive. */
void send_log_add(struct send_log *log, struct sent_event event);

/* Write all events to a file. Return 0, or -1 with a line on stderr. */
int send_log_save(const struct send_log *log, const char *file);

#endif
