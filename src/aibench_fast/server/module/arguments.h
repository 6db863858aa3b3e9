/* A cursor over a command's arguments. It borrows them; nothing is allocated. */
#ifndef AIBENCH_ARGUMENTS_H
#define AIBENCH_ARGUMENTS_H

#include <stdbool.h>
#include <strings.h>

#include "redismodule_api.h"

typedef struct Arguments {
    RedisModuleString **argv;
    int argc;
    int next; /* index of the argument that is read next */
} Arguments;

static inline int arguments_left(const Arguments *a) { return a->argc - a->next; }

static inline const char *argument_text(const RedisModuleString *argument)
{
    return RedisModule_StringPtrLen(argument, NULL);
}

static inline bool argument_is(const RedisModuleString *argument, const char *word)
{
    return strcasecmp(argument_text(argument), word) == 0;
}

/* Whether the next argument is this word, in any case; reads past it if so. */
static inline bool arguments_take_word(Arguments *a, const char *word)
{
    if (arguments_left(a) == 0 || !argument_is(a->argv[a->next], word))
        return false;
    a->next++;
    return true;
}

/* The next argument as a whole number of at least `least`; false where it is none, or is missing. */
static inline bool arguments_take_integer(Arguments *a, long long least, long long *value)
{
    return arguments_left(a) > 0 &&
           RedisModule_StringToLongLong(a->argv[a->next++], value) == REDISMODULE_OK &&
           *value >= least;
}

#endif
