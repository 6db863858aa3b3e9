#include "replies.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ID_DIGITS 16
#define NO_ID "0000000000000000"
#define CHAT_ID "chatcmpl-"
#define TEXT_ID "cmpl-"
#define DONE "e\r\ndata: [DONE]\n\n\r\n"
#define END "0\r\n\r\n"
#define FAILURE "data: {\"error\":{\"message\":\"simulated failure\",\"type\":\"server_error\",\"code\":500}}\n\n"

static size_t chunk(char *to, const char *event, size_t length)
{
    size_t head = (size_t)sprintf(to, "%zx\r\n", length);
    memcpy(to + head, event, length);
    memcpy(to + head + length, "\r\n", 2);
    return head + length + 2;
}

static size_t open_event(const struct replies *replies, char *to, bool is_chat)
{
    return (size_t)sprintf(to, "data: {\"id\":\"%s" NO_ID "\",\"object\":\"%s\",\"created\":%lld,\"model\":\"%s\",",
                           is_chat ? CHAT_ID : TEXT_ID, is_chat ? "chat.completion.chunk" : "text_completion",
                           (long long)replies->created_s, replies->model);
}

static void patch(char *to, uint64_t id)
{
    for (int i = ID_DIGITS - 1; i >= 0; i--, id >>= 4)
        to[i] = "0123456789abcdef"[id & 15];
}

static int build(const struct replies *replies, struct event_bytes *event, bool is_chat, const char *choice)
{
    char text[REPLY_ROOM], chunked[REPLY_ROOM];
    size_t length = open_event(replies, text, is_chat);
    length += (size_t)sprintf(text + length, "\"choices\":[{\"index\":0,%s}]}\n\n", choice);
    event->length = chunk(chunked, text, length);
    event->bytes = malloc(event->length);
    if (event->bytes == NULL)
        return -1;
    memcpy(event->bytes, chunked, event->length);
    const char *prefix = is_chat ? CHAT_ID : TEXT_ID;
    char *id = memmem(event->bytes, event->length, prefix, strlen(prefix));
    event->id_at = (size_t)(id - event->bytes) + strlen(prefix);
    return 0;
}

int replies_build(struct replies *replies, const char *model, const char *name, const char *version)
{
    *replies = (struct replies){.model = model, .name = name, .version = version, .created_s = time(NULL)};
    const char *role = "\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null";
    const char *content = "\"delta\":{\"content\":\"" TOKEN "\"},\"finish_reason\":null";
    const char *reasoning = "\"delta\":{\"reasoning_content\":\"" TOKEN "\"},\"finish_reason\":null";
    return build(replies, &replies->role, true, role) < 0 ||
                   build(replies, &replies->content, true, content) < 0 ||
                   build(replies, &replies->reasoning, true, reasoning) < 0 ||
                   build(replies, &replies->chat_finish, true, "\"delta\":{},\"finish_reason\":\"length\"") < 0 ||
                   build(replies, &replies->text, false, "\"text\":\"" TOKEN "\",\"finish_reason\":null") < 0 ||
                   build(replies, &replies->text_finish, false, "\"text\":\"\",\"finish_reason\":\"length\"") < 0
               ? -1
               : 0;
}

size_t reply_stream_head(const struct replies *replies, char *to, bool keeps_alive)
{
    return (size_t)sprintf(to,
                           "HTTP/1.1 200 OK\r\nServer: %s/%s\r\n"
                           "Content-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
                           "%sTransfer-Encoding: chunked\r\n\r\n",
                           replies->name, replies->version, keeps_alive ? "" : "Connection: close\r\n");
}

size_t reply_event(const struct event_bytes *event, char *to, uint64_t id)
{
    memcpy(to, event->bytes, event->length);
    patch(to + event->id_at, id);
    return event->length;
}

static size_t usage(char *to, const struct asked *asked, int64_t tokens)
{
    return (size_t)sprintf(to, "\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld}",
                           (long long)asked->prompt_tokens, (long long)tokens,
                           (long long)(asked->prompt_tokens + tokens));
}

size_t reply_usage(const struct replies *replies, char *to, uint64_t id, const struct asked *asked,
                   int64_t tokens)
{
    char text[REPLY_ROOM];
    size_t length = open_event(replies, text, asked->is_chat);
    patch(strstr(text, NO_ID), id);
    length += (size_t)sprintf(text + length, "\"choices\":[],");
    length += usage(text + length, asked, tokens);
    length += (size_t)sprintf(text + length, "}\n\n");
    return chunk(to, text, length);
}

size_t reply_error_event(char *to)
{
    return chunk(to, FAILURE, sizeof(FAILURE) - 1);
}

size_t reply_done(char *to)
{
    memcpy(to, DONE, sizeof(DONE) - 1);
    return sizeof(DONE) - 1;
}

size_t reply_end(char *to)
{
    memcpy(to, END, sizeof(END) - 1);
    return sizeof(END) - 1;
}

size_t reply_head(const struct replies *replies, char *to, int status, size_t body_bytes, bool keeps_alive,
                  int64_t retry_after_s)
{
    char retry[64] = "";
    if (retry_after_s >= 0)
        sprintf(retry, "Retry-After: %lld\r\n", (long long)retry_after_s);
    return (size_t)sprintf(to,
                           "HTTP/1.1 %d %s\r\nServer: %s/%s\r\nContent-Type: application/json\r\n"
                           "%s%sContent-Length: %zu\r\n\r\n",
                           status, status == 200 ? "OK" : "Simulated", replies->name, replies->version, retry,
                           keeps_alive ? "" : "Connection: close\r\n", body_bytes);
}

size_t reply_error(char *to, int status, const char *why)
{
    return (size_t)sprintf(to, "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"code\":%d}}", why,
                           status < 500 ? "invalid_request_error" : "server_error", status);
}

size_t reply_models(const struct replies *replies, char *to)
{
    return (size_t)sprintf(to,
                           "{\"object\":\"list\",\"data\":[{\"id\":\"%s\",\"object\":\"model\",\"created\":%lld,"
                           "\"owned_by\":\"simulated\"}]}",
                           replies->model, (long long)replies->created_s);
}

size_t reply_health(const struct replies *replies, char *to)
{
    return (size_t)sprintf(to, "{\"pid\":%d,\"version\":\"%s\"}", (int)getpid(), replies->version);
}

static char *repeat(char *to, int64_t times)
{
    for (int64_t i = 0; i < times; i++, to += sizeof(TOKEN) - 1)
        memcpy(to, TOKEN, sizeof(TOKEN) - 1);
    return to;
}

char *reply_answer(const struct replies *replies, uint64_t id, const struct asked *asked,
                   int64_t reasoning_tokens, size_t *length)
{
    char *body = malloc(REPLY_ROOM + (size_t)asked->output_tokens * (sizeof(TOKEN) - 1));
    if (body == NULL)
        return NULL;
    char *to = body;
    to += sprintf(to, "{\"id\":\"%s", asked->is_chat ? CHAT_ID : TEXT_ID);
    patch(to, id);
    to += ID_DIGITS;
    to += sprintf(to, "\",\"object\":\"%s\",\"created\":%lld,\"model\":\"%s\",\"choices\":[{\"index\":0,",
                  asked->is_chat ? "chat.completion" : "text_completion", (long long)replies->created_s,
                  replies->model);
    if (asked->is_chat) {
        to += sprintf(to, "\"message\":{\"role\":\"assistant\",");
        if (reasoning_tokens) {
            to += sprintf(to, "\"reasoning_content\":\"");
            to = repeat(to, reasoning_tokens);
            to += sprintf(to, "\",");
        }
        to += sprintf(to, "\"content\":\"");
        to = repeat(to, asked->output_tokens - reasoning_tokens);
        to += sprintf(to, "\"}");
    } else {
        to += sprintf(to, "\"text\":\"");
        to = repeat(to, asked->output_tokens);
        to += sprintf(to, "\"");
    }
    to += sprintf(to, ",\"finish_reason\":\"length\"}],");
    to += usage(to, asked, asked->output_tokens);
    to += sprintf(to, "}");
    *length = (size_t)(to - body);
    return body;
}
