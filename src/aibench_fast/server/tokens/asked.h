/* What a request of OpenAI's API asks for, read from its body.
 *
 * Memory: nothing is kept. Threads: any.
 */
#ifndef AIBENCH_TOKENS_ASKED_H
#define AIBENCH_TOKENS_ASKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ASKED_PADDING 4 /* bytes behind a body that its reader may change */

struct asked {
    bool is_chat;
    bool is_stream;
    bool wants_usage; /* as an event of a stream */
    int64_t output_tokens;
    int64_t prompt_tokens;
};

/* Read a body, and change it. A token of a prompt is a word, or a number where it is a list of numbers.
 * Return 0, or the status of HTTP that refuses it, and why: a literal. `output_tokens` is for a body that
 * does not say; `model` is the only one that there is.
 */
int asked_read(struct asked *asked, char *body, size_t length, bool is_chat, const char *model,
               int64_t output_tokens, const char **why);

#endif
