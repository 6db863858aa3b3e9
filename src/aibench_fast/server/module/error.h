/* One line of text that says why something failed; functions that take an Error return
 * REDISMODULE_OK, or REDISMODULE_ERR with the text set. */
#ifndef AIBENCH_ERROR_H
#define AIBENCH_ERROR_H

typedef struct Error {
    char text[384];
} Error;

/* Sets the text, cut to what fits, with control characters (which would end a reply) as spaces.
 * Returns REDISMODULE_ERR, so that a caller can set and return in one statement. */
int error_set(Error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
