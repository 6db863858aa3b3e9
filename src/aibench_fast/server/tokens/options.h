/* How the server behaves, from its command line. Python checks what people write (server/tokens.py), so
 * this only knows numbers: times are in nanoseconds, shares in parts of a million.
 *
 * Memory: strings are the command line's. Threads: read-only after options_read.
 */
#ifndef AIBENCH_TOKENS_OPTIONS_H
#define AIBENCH_TOKENS_OPTIONS_H

#include <stdint.h>

#define MILLION 1000000
#define FAILURES_MAX 32
#define EVENTS_PER_WRITE_MAX 64

/* How a request fails; a larger number is the status of HTTP that it is answered with, without a stream. */
enum failure_kind {
    FAIL_NEVER,
    FAIL_ERROR_EVENT, /* an event says that an error happened, and is the last but [DONE] */
    FAIL_CUT,         /* the connection is closed */
    FAIL_END,         /* the reply ends without a finish_reason and [DONE] */
    FAIL_HANG         /* nothing more comes */
};

struct failure {
    int64_t kind;
    int64_t share; /* of requests, in parts of a million */
};

struct options {
    int64_t port;
    int64_t lifeline; /* the end of a pipe that closes with the parent; -1: none */
    const char *model;
    const char *name; /* the server's, in each reply */
    const char *version;
    const char *log; /* a file; NULL: no log */
    int64_t prefill_ns;
    int64_t prefill_token_ns;
    int64_t decode_ns;
    int64_t batch;         /* requests that generate at a time; 0: all */
    int64_t output_tokens; /* of an answer whose request does not say */
    int64_t reasoning_tokens;
    int64_t events_per_write; /* from the second token on; at most EVENTS_PER_WRITE_MAX */
    int64_t segments;         /* of each write */
    int64_t stall_ns;         /* at the end of each period nothing happens for so long */
    int64_t stall_period_ns;
    struct failure failures[FAILURES_MAX];
    int failure_count;
    int64_t fail_after;    /* tokens; statuses come at once */
    int64_t retry_after_s; /* with status 429 */
    int64_t seed;          /* which requests fail */
};

/* Read pairs of a name and a value. Return 0, or -1 with a line on stderr. */
int options_read(struct options *o, int count, char **words);

#endif
