#include "httphead.h"

#include <stdio.h>

#define HEADERS_BYTES_MAX (64 * 1024) /* of one reply, names and values */

void http_head_init(struct http_head *head, struct replycheck *check, const llhttp_settings_t *settings)
{
    head->check = check;
    llhttp_init(&head->parser, HTTP_RESPONSE, settings);
    head->parser.data = head;
}

int http_head_count(llhttp_t *parser, const char *at, size_t bytes)
{
    struct http_head *head = parser->data;
    (void)at;
    head->headers_bytes += bytes;
    if (head->headers_bytes <= HEADERS_BYTES_MAX)
        return 0;
    llhttp_set_error_reason(parser, "headers of more than 64 KiB");
    return HPE_USER;
}

int http_head_field(llhttp_t *parser, const char *at, size_t bytes)
{
    struct http_head *head = parser->data;
    http_append(head->field, sizeof head->field, &head->field_bytes, at, bytes);
    return http_head_count(parser, at, bytes);
}

int http_head_value(llhttp_t *parser, const char *at, size_t bytes)
{
    struct http_head *head = parser->data;
    http_append(head->value, sizeof head->value, &head->value_bytes, at, bytes);
    return http_head_count(parser, at, bytes);
}

int http_head_end(llhttp_t *parser)
{
    struct http_head *head = parser->data;
    if (llhttp_get_status_code(parser) < 200) /* informational: the reply is still to come */
        return 0;
    head->is_whole = true;
    head->is_last = !llhttp_should_keep_alive(parser);
    return HPE_PAUSED;
}

bool http_head_is_last(const void *reader)
{
    return ((const struct http_head *)reader)->is_last;
}

void http_head_copy(const struct http_head *head, char *to, size_t room)
{
    snprintf(to, room, "%.*s", (int)head->value_bytes, head->value);
}

enum io_status http_head_failed(struct http_head *head, llhttp_errno_t error)
{
    const char *reason = llhttp_get_error_reason(&head->parser);
    replycheck_fail(head->check, FAILURE_PROTOCOL, "not an HTTP reply: %s",
                    reason && *reason ? reason : llhttp_errno_name(error));
    return IO_FAILED;
}
