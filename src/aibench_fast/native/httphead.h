/* What readers of replies over HTTP/1.1 share: the parser, the header that is read, and the end of a reply.
 *
 * A reader begins with a struct http_head, so that the callbacks here fit its parser, whose data it is.
 *
 * Memory: the reader has it; nothing here allocates. Units: bytes. Threads: those of the reader.
 */
#ifndef AIBENCH_HTTPHEAD_H
#define AIBENCH_HTTPHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include <llhttp.h>

#include "iostatus.h"
#include "replycheck.h"

#define HTTP_FIELD_BYTES 48  /* no header that is read has a longer name */
#define HTTP_VALUE_BYTES 160 /* of a value; the rest is cut off */

struct http_head {
    llhttp_t parser;
    struct replycheck *check;
    bool is_whole; /* the reply */
    bool is_last;  /* on its connection */
    size_t headers_bytes;
    size_t field_bytes;
    size_t value_bytes;
    char field[HTTP_FIELD_BYTES];
    char value[HTTP_VALUE_BYTES];
};

void http_head_init(struct http_head *head, struct replycheck *check, const llhttp_settings_t *settings);

/* Append what fits. */
static inline void http_append(char *text, size_t room, size_t *filled, const char *more, size_t bytes)
{
    size_t left = *filled < room ? room - *filled : 0;
    size_t taken = bytes < left ? bytes : left;
    if (taken > 0)
        memcpy(text + *filled, more, taken);
    *filled += taken;
}

/* A reply begins. */
static inline void http_head_start(struct http_head *head)
{
    head->headers_bytes = head->field_bytes = head->value_bytes = 0;
}

/* Callbacks of the parser: for a header's name and value, and for bytes around a body that have no limit of their
 * own. */
int http_head_field(llhttp_t *parser, const char *at, size_t bytes);
int http_head_value(llhttp_t *parser, const char *at, size_t bytes);
int http_head_count(llhttp_t *parser, const char *at, size_t bytes);

/* The callback for the end of a reply, unless that was informational. */
int http_head_end(llhttp_t *parser);

/* A header was read: the next one begins. */
static inline void http_head_next(struct http_head *head)
{
    head->field_bytes = head->value_bytes = 0;
}

/* Return whether the header has this name. */
static inline bool http_head_is(const struct http_head *head, const char *name, size_t count)
{
    return head->field_bytes == count && strncasecmp(head->field, name, count) == 0;
}
#define HTTP_HEAD_IS(head, name) http_head_is(head, name, sizeof name - 1)

/* Copy the header's value to `to`, as far as there is room, and end it. */
void http_head_copy(const struct http_head *head, char *to, size_t room);

/* is_last of protocol.h. */
bool http_head_is_last(const void *reader);

/* The parser stopped: IO_FAILED, as the check says. */
enum io_status http_head_failed(struct http_head *head, llhttp_errno_t error);

/* Interpret the parser's result: it pauses at the end of a reply; anything else is a failure. */
static inline enum io_status http_head_status(struct http_head *head, llhttp_errno_t error)
{
    if (head->is_whole) {
        head->is_whole = false;
        llhttp_resume(&head->parser);
        return IO_DONE;
    }
    return error == HPE_OK ? IO_AGAIN : http_head_failed(head, error);
}

#endif
