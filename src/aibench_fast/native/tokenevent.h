/* The data of an event of OpenAI's API: JSON with the choices of a chunk, the usage, or an error.
 *
 * Nearly all events are read in place, which takes a third of what a document of them would. What that does not
 * understand, such as an escaped key or an error, a parser reads; both find the same. Reading in place looks at the
 * structure alone: it accepts strings and numbers that no JSON has.
 *
 * Memory: the caller's; the pool is used while an event is parsed, and one that needs more allocates and frees.
 * Threads: any number, each with a pool of its own.
 */
#ifndef AIBENCH_TOKENEVENT_H
#define AIBENCH_TOKENEVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errstr.h"
#include "eventlog.h"

#define TOKENS_UNKNOWN (-1)
#define TOKENEVENT_POOL_BYTES (64 * 1024)

struct token_event {
    unsigned flags; /* enum event_flags: what any of its choices has, and a usage */
    int64_t output_tokens; /* of the usage; TOKENS_UNKNOWN: it has none */
    int64_t input_tokens;
    bool is_error;
    errstr_t words; /* of an error */
};

/* Read an event. Return false if it is not a JSON object. `is_error`: its type says that it is an
 * error. */
bool tokenevent_read(struct token_event *event, const char *json, size_t bytes, bool is_error,
                     char pool[TOKENEVENT_POOL_BYTES]);

/* Copy the words of an error, which the JSON has or is, to `words`; empty: it has none. */
void tokenevent_error_words(const char *json, size_t bytes, errstr_t words);

/* The two ways, for tests. Reading in place returns false if it does not understand the event. */
bool tokenevent_scan(struct token_event *event, const char *json, size_t bytes);
bool tokenevent_parse(struct token_event *event, const char *json, size_t bytes, bool is_error,
                      char pool[TOKENEVENT_POOL_BYTES]);

#endif
