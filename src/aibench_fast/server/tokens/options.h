/* How the server behaves, from its command line. Python checks what people write (server/tokens.py), so
 * this only knows numbers: times are in nanoseconds, shares in parts of a million.
 *
 * Memory: strings are the command line's. Threads: read-only after options_read.
 */
#ifndef AIBENCH_TOKENS_OPTIONS_H
#define AIBENCH_TOKENS_OPTIONS_H

#include <stdint.h>

#define MILLION 1000000
#define STATUSES 600 /* of HTTP; lower ones are no failures */

struct options {
    int64_t port;
    int64_t lifeline; /* the end of a pipe that closes with the parent; -1: none */
    const char *model;
    const char *version;
    const char *log; /* a file; NULL: no log */
    int64_t prefill_ns;
    int64_t prefill_token_ns;
    int64_t decode_ns;
    int64_t batch;         /* requests that generate at a time; 0: all */
    int64_t output_tokens; /* of an answer whose request does not say */
    int64_t reasoning_tokens;
};

/* Read pairs of a name and a value. Return 0, or -1 with a line on stderr. */
int options_read(struct options *o, int count, char **words);

#endif
