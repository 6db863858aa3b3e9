/* The log of an I/O thread: which event of which stream of tokens came when. Only such runs keep one that hold the client
 * against a server's own log.
 *
 * Memory: iothread_init allocates the entries, iothread_free frees them; NULL: none are kept. What comes when they are
 * full is not logged.
 * Units: nanoseconds of CLOCK_MONOTONIC. Threads: its I/O thread writes it; others read it after that has ended.
 */
#ifndef AIBENCH_EVENTLOG_H
#define AIBENCH_EVENTLOG_H

#include <stdint.h>

/* What an event has. */
enum event_flags {
    EVENT_NOTHING = 1 << 0, /* of the others, such as a role alone */
    EVENT_ANSWER = 1 << 1,  /* text or a tool call */
    EVENT_REASONING = 1 << 2,
    EVENT_FINISH = 1 << 3, /* a finish_reason */
    EVENT_USAGE = 1 << 4,
    EVENT_DONE = 1 << 5 /* [DONE] */
};

struct event_log_entry {
    uint16_t port;    /* of this end of the connection */
    uint32_t request; /* its number on that connection, from 0 on */
    uint16_t flags;   /* of enum event_flags */
    int64_t came_ns;
} __attribute__((packed));

struct event_log {
    struct event_log_entry *entries;
    uint64_t room;
    uint64_t count;
};

static inline void event_log_add(struct event_log *log, const struct event_log_entry *entry)
{
    if (log->count < log->room)
        log->entries[log->count++] = *entry;
}

#endif
