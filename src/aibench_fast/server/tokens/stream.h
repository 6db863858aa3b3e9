/* A request that is being answered, as the generator sees it (generator.h).
 *
 * Memory: part of its connection. Threads: one.
 */
#ifndef AIBENCH_TOKENS_STREAM_H
#define AIBENCH_TOKENS_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "asked.h"
#include "duequeue.h"

enum stream_state { STREAM_NONE, STREAM_WAITS, STREAM_RUNS };

struct stream {
    struct due due; /* of the next token; its first member, so that one leads to the other */
    struct stream *before, *after; /* of those that wait */
    enum stream_state state;
    struct asked asked;
    uint64_t id;
    int64_t tokens; /* that were sent */
    int64_t fails;  /* an enum failure_kind, or a status */
    bool has_head;
};

#endif
