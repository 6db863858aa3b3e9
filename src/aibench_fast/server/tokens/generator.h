/* Answers requests in simulated time: a prefill, then a token after each decode time, of so many requests at
 * once. Times are absolute: a token that goes out late does not delay the next ones. While the server is stalled its time
 * stands still: what would have been due comes that much later.
 *
 * Memory: streams are part of their connections, which stay open until generator_leave. The generator owns
 * its queue and log until the process ends. Threads: one.
 */
#ifndef AIBENCH_TOKENS_GENERATOR_H
#define AIBENCH_TOKENS_GENERATOR_H

#include <stdint.h>

#include "connection.h"
#include "duequeue.h"
#include "options.h"
#include "replies.h"
#include "sendlog.h"

struct generator {
    const struct options *options;
    struct replies replies;
    struct due_queue due;
    struct stream *first_waiting, *last_waiting;
    int64_t running;
    uint64_t requests;
    int64_t stalled_ns; /* since the start */
    struct send_log log;
};

/* Return 0, or -1 without memory. */
int generator_open(struct generator *g, const struct options *options);

/* Answer the request that came whole over a connection, now or when its tokens are due. */
void generator_take(struct generator *g, struct connection *c);

/* Send what is due, but not for so long that requests are left waiting. Return when the next token is due, on
 * CLOCK_MONOTONIC, or INT64_MAX.
 */
int64_t generator_run(struct generator *g);

/* Forget the request of a connection that is going to be closed. */
void generator_leave(struct generator *g, struct connection *c);

#endif
