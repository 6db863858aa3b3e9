#include "replycheck.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const type_names[] = {"a status", "an error", "a bulk", "an integer",
                                         "nil",      "an array", "a reply of another type"};

void replycheck_start(struct replycheck *check, char *output)
{
    check->done = 0;
    check->kind = FAILURE_NONE;
    check->output = output;
}

void replycheck_fail(struct replycheck *check, enum failure_kind kind, const char *format, ...)
{
    va_list arguments;
    if (check->kind != FAILURE_NONE)
        return;
    check->kind = kind;
    va_start(arguments, format);
    vsnprintf(check->message, ERRSTR_BYTES, format, arguments);
    va_end(arguments);
}

/* What stands at this place of the plan, or NULL where the plan has nothing there. */
static const struct expected_reply *expected_at(const struct replycheck *check, int depth,
                                                size_t index)
{
    const struct reply_plan *plan = check->plan;
    size_t place = plan->in_array ? index : check->done;
    if (depth != (plan->in_array ? 1 : 0) || place >= plan->count)
        return NULL;
    return &plan->expected[place];
}

static bool is_text(const char *text, size_t bytes, const char *wanted)
{
    return bytes == strlen(wanted) && memcmp(text, wanted, bytes) == 0;
}

void replycheck_leaf(struct replycheck *check, int depth, size_t index, enum reply_type type,
                     const char *text, size_t bytes)
{
    const struct expected_reply *expected = expected_at(check, depth, index);
    int shown = bytes < ERRSTR_BYTES / 2 ? (int)bytes : ERRSTR_BYTES / 2;
    if (type == REPLY_ERROR)
        replycheck_fail(check, FAILURE_ERROR_REPLY, "%.*s", (int)bytes, text);
    else if (type == REPLY_STATUS && is_text(text, bytes, "TIMEDOUT"))
        replycheck_fail(check, FAILURE_SERVER_TIMEOUT, "TIMEDOUT");
    else if (type == REPLY_STATUS && is_text(text, bytes, "NA"))
        replycheck_fail(check, FAILURE_NOT_RUN, "NA");
    else if (expected == NULL)
        replycheck_fail(check, FAILURE_WRONG_REPLY, "found %s where the command answers %s",
                        type_names[type], check->plan->in_array ? "an array" : "a single value");
    else if (type != expected->type)
        replycheck_fail(check, FAILURE_WRONG_REPLY, "reply %zu is %s, expected %s",
                        (check->plan->in_array ? index : check->done) + 1, type_names[type],
                        type_names[expected->type]);
    else if (type == REPLY_STATUS && !is_text(text, bytes, "OK"))
        replycheck_fail(check, FAILURE_WRONG_REPLY, "found status %.*s, expected OK", shown, text);
    else if (type == REPLY_BULK && bytes != expected->bytes)
        replycheck_fail(check, FAILURE_WRONG_SIZE, "an output of %zu bytes, expected %zu", bytes,
                        expected->bytes);
    else if (type == REPLY_BULK && check->output != NULL)
        memcpy(check->output, text, bytes);
}

void replycheck_array(struct replycheck *check, int depth, size_t index, size_t elements)
{
    const struct reply_plan *plan = check->plan;
    if (depth == 0 && plan->in_array) {
        if (elements != plan->count)
            replycheck_fail(check, FAILURE_WRONG_REPLY, "an array of %zu replies, expected %zu",
                            elements, plan->count);
        return;
    }
    replycheck_leaf(check, depth, index, REPLY_ARRAY, "", 0);
}

bool replycheck_reply_done(struct replycheck *check)
{
    check->done++;
    return check->done == (check->plan->in_array ? 1 : check->plan->count);
}
