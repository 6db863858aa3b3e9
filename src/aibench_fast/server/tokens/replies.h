/* The bytes of replies. Events are built once, and only a request's id is patched into them.
 *
 * Memory: the replies own their templates until the process ends; what is written goes to the caller's
 * buffer, which has REPLY_ROOM bytes for each call. Threads: one builds, any write.
 */
#ifndef AIBENCH_TOKENS_REPLIES_H
#define AIBENCH_TOKENS_REPLIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asked.h"

#define REPLY_ROOM 1024
#define TOKEN " token" /* each token of an answer */

struct event_bytes {
    char *bytes; /* a chunk of HTTP */
    size_t length;
    size_t id_at;
};

struct replies {
    const char *model;
    const char *name;
    const char *version;
    int64_t created_s;
    struct event_bytes role, content, reasoning, chat_finish, text, text_finish;
};

/* `model` is JSON's text without quotes. Return 0, or -1 without memory. */
int replies_build(struct replies *replies, const char *model, const char *name, const char *version);

/* Each returns how many bytes it wrote. */
size_t reply_stream_head(const struct replies *replies, char *to, bool keeps_alive);
size_t reply_event(const struct event_bytes *event, char *to, uint64_t id);
size_t reply_usage(const struct replies *replies, char *to, uint64_t id, const struct asked *asked,
                   int64_t tokens);
size_t reply_error_event(char *to);
size_t reply_done(char *to);
size_t reply_end(char *to);
size_t reply_head(const struct replies *replies, char *to, int status, size_t body_bytes, bool keeps_alive,
                  int64_t retry_after_s);
size_t reply_error(char *to, int status, const char *why);
size_t reply_models(const struct replies *replies, char *to);
size_t reply_health(const struct replies *replies, char *to);

/* The whole body of an answer without a stream, NULL without memory: the caller frees it. */
char *reply_answer(const struct replies *replies, uint64_t id, const struct asked *asked,
                   int64_t reasoning_tokens, size_t *length);

#endif
