#include "generator.h"

#include <stdlib.h>
#include <string.h>

#include "native/clock.h"
#include "native/splitmix.h"

#define AT_ONCE 256 /* writes before requests are looked for */
#define EVENTS_ROOM ((EVENTS_PER_WRITE_MAX + 4) * REPLY_ROOM)

#define TOO_MANY_REQUESTS 429

#define CHAT "/v1/chat/completions"
#define TEXT "/v1/completions"

static struct connection *connection_of(struct stream *s)
{
    return (struct connection *)((char *)s - offsetof(struct connection, stream));
}

int generator_open(struct generator *g, const struct options *options)
{
    *g = (struct generator){.options = options, .log.is_on = options->log != NULL};
    return replies_build(&g->replies, options->model, options->name, options->version);
}

/* The time by which tokens are due. */
static int64_t own_ns(const struct generator *g)
{
    return monotonic_ns() - g->stalled_ns;
}

static void note(struct generator *g, const struct connection *c, int flags, int64_t at_ns)
{
    if (g->log.is_on)
        send_log_add(&g->log, (struct sent_event){.port = c->port,
                                                  .flags = (uint16_t)flags,
                                                  .request = c->requests,
                                                  .at_ns = at_ns});
}

static void answer(struct generator *g, struct connection *c, int status, const char *body, size_t length)
{
    char head[REPLY_ROOM];
    int64_t retry_after_s = status == TOO_MANY_REQUESTS ? g->options->retry_after_s : -1;
    size_t head_length = reply_head(&g->replies, head, status, length, !c->closes_when_sent, retry_after_s);
    connection_send(c, head, head_length, 1);
    connection_send(c, body, length, 1);
    connection_replied(c);
}

static void refuse(struct generator *g, struct connection *c, int status, const char *why)
{
    char body[REPLY_ROOM];
    answer(g, c, status, body, reply_error(body, status, why));
}

static void start(struct generator *g, struct stream *s, int64_t at_ns)
{
    const struct options *o = g->options;
    struct connection *c = connection_of(s);
    g->running++;
    s->state = STREAM_RUNS;
    s->due.at_ns = at_ns + o->prefill_ns + s->asked.prompt_tokens * o->prefill_token_ns;
    if (!s->asked.is_stream)
        s->due.at_ns += (s->asked.output_tokens - 1) * o->decode_ns;
    if (due_queue_add(&g->due, &s->due) < 0)
        abort();
    if (s->asked.is_stream && s->asked.is_chat) {
        char text[2 * REPLY_ROOM];
        size_t length = reply_stream_head(&g->replies, text, !c->closes_when_sent);
        length += reply_event(&g->replies.role, text + length, s->id);
        note(g, c, SENT_ROLE, monotonic_ns());
        connection_send(c, text, length, 1);
        s->has_head = true;
    }
}

static void wait_for_a_place(struct generator *g, struct stream *s)
{
    s->state = STREAM_WAITS;
    s->before = g->last_waiting;
    s->after = NULL;
    *(s->before ? &s->before->after : &g->first_waiting) = s;
    g->last_waiting = s;
}

static void leave_the_line(struct generator *g, struct stream *s)
{
    *(s->before ? &s->before->after : &g->first_waiting) = s->after;
    *(s->after ? &s->after->before : &g->last_waiting) = s->before;
}

/* The place of a request is free from this time on. */
static void free_place(struct generator *g, struct stream *s, int64_t at_ns)
{
    due_queue_remove(&g->due, &s->due);
    s->state = STREAM_NONE;
    g->running--;
    struct stream *next = g->first_waiting;
    if (next) {
        leave_the_line(g, next);
        start(g, next, at_ns);
    }
}

/* Return how a request fails: the seed and its number decide. The first, a client's trial, does not. */
static int64_t failure_of(const struct options *o, uint64_t number)
{
    if (number == 0)
        return FAIL_NEVER;
    int64_t drawn = (int64_t)(splitmix_at((uint64_t)o->seed, number) % MILLION);
    for (const struct failure *f = o->failures; f < o->failures + o->failure_count; f++) {
        drawn -= f->share;
        if (drawn < 0)
            return f->kind;
    }
    return FAIL_NEVER;
}

static void generate(struct generator *g, struct connection *c, bool is_chat)
{
    int64_t came_ns = monotonic_ns();
    struct stream *s = &c->stream;
    const char *why;
    int status = asked_read(&s->asked, c->body.data, c->body.length, is_chat, g->options->model,
                            g->options->output_tokens, &why);
    if (status) {
        refuse(g, c, status, why);
        return;
    }
    note(g, c, REQUEST_CAME, came_ns);
    s->fails = failure_of(g->options, g->requests);
    s->id = ++g->requests;
    s->tokens = 0;
    s->has_head = false;
    if (s->fails > FAIL_HANG)
        refuse(g, c, (int)s->fails, "simulated failure");
    else if (g->options->batch && g->running >= g->options->batch)
        wait_for_a_place(g, s);
    else
        start(g, s, came_ns - g->stalled_ns);
}

void generator_take(struct generator *g, struct connection *c)
{
    char body[REPLY_ROOM];
    bool is_get = llhttp_get_method(&c->parser) == HTTP_GET;
    c->target[strcspn(c->target, "?")] = 0;
    if (!is_get && strcmp(c->target, CHAT) == 0)
        generate(g, c, true);
    else if (!is_get && strcmp(c->target, TEXT) == 0)
        generate(g, c, false);
    else if (is_get && strcmp(c->target, "/v1/models") == 0)
        answer(g, c, 200, body, reply_models(&g->replies, body));
    else if (is_get && strcmp(c->target, "/health") == 0)
        answer(g, c, 200, body, reply_health(&g->replies, body));
    else
        refuse(g, c, 404, "there are POST " CHAT ", POST " TEXT " and GET /v1/models");
}

static size_t add_token(struct generator *g, struct connection *c, char *to, int64_t at_ns)
{
    struct stream *s = &c->stream;
    bool is_reasoning = s->asked.is_chat && s->tokens < g->options->reasoning_tokens;
    s->tokens++;
    note(g, c, is_reasoning ? SENT_REASONING : SENT_CONTENT, at_ns);
    const struct event_bytes *event = !s->asked.is_chat ? &g->replies.text
                                      : is_reasoning    ? &g->replies.reasoning
                                                        : &g->replies.content;
    return reply_event(event, to, s->id);
}

static size_t add_end(struct generator *g, struct connection *c, char *to, int64_t at_ns)
{
    struct stream *s = &c->stream;
    const struct event_bytes *finish = s->asked.is_chat ? &g->replies.chat_finish : &g->replies.text_finish;
    note(g, c, SENT_FINISH, at_ns);
    size_t length = reply_event(finish, to, s->id);
    if (s->asked.wants_usage) {
        note(g, c, SENT_USAGE, at_ns);
        length += reply_usage(&g->replies, to + length, s->id, &s->asked, s->tokens);
    }
    note(g, c, SENT_DONE, at_ns);
    length += reply_done(to + length);
    return length + reply_end(to + length);
}

/* Nothing more comes of a request. Its place is free, unless it hangs. */
static void end_reply(struct generator *g, struct connection *c)
{
    struct stream *s = &c->stream;
    if (s->fails == FAIL_HANG) {
        due_queue_remove(&g->due, &s->due);
        return;
    }
    free_place(g, s, s->due.at_ns);
    if (s->fails == FAIL_CUT)
        connection_end(c);
    else
        connection_replied(c);
}

static size_t add_failure(struct connection *c, char *to)
{
    int64_t fails = c->stream.fails;
    size_t length = 0;
    if (fails == FAIL_ERROR_EVENT) {
        length = reply_error_event(to);
        length += reply_done(to + length);
    }
    return fails == FAIL_CUT || fails == FAIL_HANG ? 0 : length + reply_end(to + length);
}

static void send_tokens(struct generator *g, struct connection *c)
{
    static char text[EVENTS_ROOM];
    const struct options *o = g->options;
    struct stream *s = &c->stream;
    int64_t last = s->fails && o->fail_after < s->asked.output_tokens ? o->fail_after : s->asked.output_tokens;
    int64_t until = s->tokens + (s->tokens ? o->events_per_write : 1);
    int64_t at_ns = monotonic_ns();
    size_t length = s->has_head ? 0 : reply_stream_head(&g->replies, text, !c->closes_when_sent);
    s->has_head = true;
    while (s->tokens < last && s->tokens < until)
        length += add_token(g, c, text + length, at_ns);
    bool is_over = s->tokens == last;
    if (is_over)
        length += s->fails ? add_failure(c, text + length) : add_end(g, c, text + length, at_ns);
    connection_send(c, text, length, o->segments);
    if (is_over) {
        end_reply(g, c);
        return;
    }
    int64_t left = last - s->tokens;
    s->due.at_ns += o->decode_ns * (left < o->events_per_write ? left : o->events_per_write);
    due_queue_later(&g->due, &s->due);
}

static void send_answer(struct generator *g, struct connection *c)
{
    struct stream *s = &c->stream;
    int64_t reasoning = s->asked.is_chat ? g->options->reasoning_tokens : 0;
    if (reasoning > s->asked.output_tokens)
        reasoning = s->asked.output_tokens;
    size_t length;
    char *body = reply_answer(&g->replies, s->id, &s->asked, reasoning, &length);
    if (body == NULL)
        abort();
    note(g, c, SENT_CONTENT | SENT_FINISH | SENT_USAGE, monotonic_ns());
    answer(g, c, 200, body, length);
    free(body);
}

/* An answer without a stream, or what comes instead where it fails. */
static void send_whole(struct generator *g, struct connection *c)
{
    struct stream *s = &c->stream;
    if (s->fails == FAIL_HANG) {
        due_queue_remove(&g->due, &s->due);
        return;
    }
    free_place(g, s, s->due.at_ns);
    if (s->fails == FAIL_NEVER)
        send_answer(g, c);
    else if (s->fails == FAIL_ERROR_EVENT)
        refuse(g, c, 500, "simulated failure");
    else
        connection_end(c);
}

static void send_due(struct generator *g, struct connection *c)
{
    if (c->stream.asked.is_stream)
        send_tokens(g, c);
    else
        send_whole(g, c);
}

int64_t generator_run(struct generator *g)
{
    for (int i = 0; i < AT_ONCE; i++) {
        struct due *first = due_queue_first(&g->due);
        if (first == NULL)
            return INT64_MAX;
        if (first->at_ns > own_ns(g))
            return first->at_ns + g->stalled_ns;
        send_due(g, connection_of((struct stream *)first));
    }
    return 0;
}

void generator_leave(struct generator *g, struct connection *c)
{
    struct stream *s = &c->stream;
    if (s->state == STREAM_WAITS)
        leave_the_line(g, s);
    else if (s->state == STREAM_RUNS)
        free_place(g, s, own_ns(g));
}
