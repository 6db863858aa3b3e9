#include "resp.h"

#include <stdio.h>
#include <string.h>

#include <hiredis.h>
#include <sds.h>

#include "kind.h"
#include "stringdata.h"

/* hiredis keeps up to 1 KiB of parsed replies before it moves the rest down. */
#define DISCARD_BYTES 2048
#define LEAST_ROOM_BYTES 512 /* to receive into */
#define OUT_OF_LINE __attribute__((noinline, cold))
#define CLUSTER_DOWN "CLUSTERDOWN "
#define REPLY_SPARE_BYTES (1024 * 1024) /* for an error message, or an output that is a little too large */

/* The server answers a command of a greeting with OK. */
static const struct reply_plan greeting_plan = {.count = 1, .expected = {{.type = REPLY_STATUS}}};

static const struct reply_plan *plan_of(const struct replycheck *check)
{
    return check->expected ? &check->expected->plan : &greeting_plan;
}

/* Return how many replies come before the array; without an array, all of them. */
static size_t alone(const struct reply_plan *plan)
{
    return plan->count - plan->in_array;
}

static const char *const type_names[] = {"a status", "an error", "a bulk", "an integer",
                                         "nil",      "an array", "a reply of another type", "a bulk"};

/* Return the expected reply at this place; NULL if the plan has none there. */
static const struct expected_reply *expected_at(const struct replycheck *check, int depth,
                                                size_t index)
{
    const struct reply_plan *plan = plan_of(check);
    if (depth == 0)
        return check->done < alone(plan) ? &plan->expected[check->done] : NULL;
    return depth == 1 && index < plan->in_array ? &plan->expected[alone(plan) + index] : NULL;
}

static bool is_text(const char *text, size_t bytes, const char *wanted)
{
    return bytes == strlen(wanted) && memcmp(text, wanted, bytes) == 0;
}

/* The fast path of nearly every reply. */
static bool is_as_expected(const struct replycheck *check, const struct expected_reply *expected,
                           enum reply_type type, const char *text, size_t bytes)
{
    if (expected == NULL || type != expected->type)
        return false;
    if (type == REPLY_STATUS)
        return is_text(text, bytes, "OK");
    return type == REPLY_BULK && bytes == expected->bytes && check->output == NULL;
}

/* Return where to copy an output to: after the room of those before it in the plan. */
static char *output_place(struct replycheck *check, const struct expected_reply *expected, bool *is_first)
{
    char *to = check->output;
    *is_first = true;
    for (const struct expected_reply *before = plan_of(check)->expected; before < expected; before++) {
        *is_first = *is_first && before->type == REPLY_STATUS;
        to += before->bytes; /* 0 for a status */
    }
    return to;
}

static void copy_output(struct replycheck *check, const struct expected_reply *expected,
                        const char *bytes)
{
    bool is_first;
    memcpy(output_place(check, expected, &is_first), bytes, expected->bytes);
    if (is_first)
        check->first_bytes = expected->bytes;
}

static void copy_strings(struct replycheck *check, const struct expected_reply *expected, const char *text,
                         size_t bytes)
{
    bool is_first;
    char *place = output_place(check, expected, &is_first), *to = place;
    const char *end = text + bytes;
    while (text < end) {
        size_t length = strlen(text); /* the last byte is a NUL */
        to = stringdata_put(to, text, length);
        text += length + 1;
    }
    if (is_first)
        check->first_bytes = (size_t)(to - place);
}

OUT_OF_LINE static void judge_strings(struct replycheck *check, const struct expected_reply *expected,
                                      const char *text, size_t bytes)
{
    size_t count = 0;
    for (size_t i = 0; i < bytes; i++)
        count += text[i] == '\0';
    if (bytes > 0 && text[bytes - 1] != '\0')
        replycheck_fail(check, FAILURE_WRONG_SIZE, "an output whose last string does not end with a NUL");
    else if (count != expected->strings)
        replycheck_fail(check, FAILURE_WRONG_SIZE, "an output of %zu strings, expected %zu", count,
                        expected->strings);
    else if (bytes + count * STRING_LENGTH_BYTES > expected->bytes)
        replycheck_fail(check, FAILURE_WRONG_SIZE, "an output of %zu bytes, at most %zu expected", bytes,
                        expected->bytes);
    else if (check->output != NULL)
        copy_strings(check, expected, text, bytes);
}

static void judge_leaf(struct replycheck *check, int depth, size_t index, enum reply_type type,
                     const char *text, size_t bytes)
{
    const struct expected_reply *expected = expected_at(check, depth, index);
    if (is_as_expected(check, expected, type, text, bytes))
        return;
    int shown = bytes < ERRSTR_BYTES / 2 ? (int)bytes : ERRSTR_BYTES / 2;
    if (type == REPLY_ERROR && bytes >= strlen(CLUSTER_DOWN) &&
        memcmp(text, CLUSTER_DOWN, strlen(CLUSTER_DOWN)) == 0)
        replycheck_fail(check, FAILURE_CLUSTER_DOWN, "%.*s", (int)bytes, text);
    else if (type == REPLY_ERROR)
        replycheck_fail(check, FAILURE_ERROR_REPLY, "%.*s", (int)bytes, text);
    else if (type == REPLY_STATUS && is_text(text, bytes, "TIMEDOUT"))
        replycheck_fail(check, FAILURE_SERVER_TIMEOUT, "TIMEDOUT");
    else if (type == REPLY_STATUS && is_text(text, bytes, "NA"))
        replycheck_fail(check, FAILURE_NOT_RUN, "NA");
    else if (expected == NULL)
        replycheck_fail(check, FAILURE_WRONG_REPLY, "found %s where the command answers %s",
                        type_names[type], plan_of(check)->in_array ? "an array" : "a single value");
    else if (type == REPLY_BULK && expected->type == REPLY_STRINGS)
        judge_strings(check, expected, text, bytes);
    else if (type != expected->type)
        replycheck_fail(check, FAILURE_WRONG_REPLY, "reply %zu is %s, expected %s",
                        (size_t)(expected - plan_of(check)->expected) + 1, type_names[type],
                        type_names[expected->type]);
    else if (type == REPLY_STATUS && !is_text(text, bytes, "OK"))
        replycheck_fail(check, FAILURE_WRONG_REPLY, "found status %.*s, expected OK", shown, text);
    else if (type == REPLY_BULK && bytes != expected->bytes)
        replycheck_fail(check, FAILURE_WRONG_SIZE, "an output of %zu bytes, expected %zu", bytes,
                        expected->bytes);
    else if (type == REPLY_BULK && check->output != NULL)
        copy_output(check, expected, text);
}

static void judge_array(struct replycheck *check, int depth, size_t index, enum reply_type type,
                        size_t elements)
{
    const struct reply_plan *plan = plan_of(check);
    if (depth == 0 && type == REPLY_ARRAY && plan->in_array > 0 && check->done == alone(plan)) {
        if (elements != plan->in_array)
            replycheck_fail(check, FAILURE_WRONG_REPLY, "an array of %zu replies, expected %zu",
                            elements, plan->in_array);
        return;
    }
    judge_leaf(check, depth, index, type, "", 0);
}

static bool reply_done(struct replycheck *check)
{
    const struct reply_plan *plan = plan_of(check);
    check->done++;
    return check->done == alone(plan) + (plan->in_array > 0);
}

static int depth_of(const redisReadTask *task)
{
    int depth = 0;
    for (const redisReadTask *t = task->parent; t != NULL; t = t->parent)
        depth++;
    return depth;
}

/* To hiredis NULL means out of memory; any other pointer will do, as no object is built. */
static void *nothing_built(const redisReadTask *task)
{
    return task->privdata;
}

static void *on_leaf(const redisReadTask *task, enum reply_type type, const char *text,
                     size_t bytes)
{
    size_t index = task->idx > 0 ? (size_t)task->idx : 0; /* -1 at the top level */
    judge_leaf(task->privdata, depth_of(task), index, type, text, bytes);
    return nothing_built(task);
}

static void *on_string(const redisReadTask *task, char *text, size_t bytes)
{
    switch (task->type) {
    case REDIS_REPLY_STATUS:
        return on_leaf(task, REPLY_STATUS, text, bytes);
    case REDIS_REPLY_ERROR:
        return on_leaf(task, REPLY_ERROR, text, bytes);
    case REDIS_REPLY_STRING:
        return on_leaf(task, REPLY_BULK, text, bytes);
    default:
        return on_leaf(task, REPLY_OTHER, text, bytes);
    }
}

static void *on_array(const redisReadTask *task, size_t elements)
{
    size_t index = task->idx > 0 ? (size_t)task->idx : 0;
    bool is_array = task->type == REDIS_REPLY_ARRAY; /* not a map, set or push */
    judge_array(task->privdata, depth_of(task), index, is_array ? REPLY_ARRAY : REPLY_OTHER, elements);
    return nothing_built(task);
}

static void *on_integer(const redisReadTask *task, long long value)
{
    (void)value;
    return on_leaf(task, REPLY_INTEGER, "", 0);
}

static void *on_double(const redisReadTask *task, double value, char *text, size_t bytes)
{
    (void)value;
    return on_leaf(task, REPLY_OTHER, text, bytes);
}

static void *on_nil(const redisReadTask *task)
{
    return on_leaf(task, REPLY_NIL, "", 0);
}

static void *on_bool(const redisReadTask *task, int value)
{
    (void)value;
    return on_leaf(task, REPLY_OTHER, "", 0);
}

static void free_nothing(void *object)
{
    (void)object;
}

static redisReplyObjectFunctions check_functions = {
    .createString = on_string,
    .createArray = on_array,
    .createInteger = on_integer,
    .createDouble = on_double,
    .createNil = on_nil,
    .createBool = on_bool,
    .freeObject = free_nothing,
};

static void *open_reader(struct replycheck *check, const struct reader_size *size)
{
    redisReader *reader = redisReaderCreateWithFunctions(&check_functions);
    if (reader == NULL)
        return NULL;
    reader->privdata = check;
    /* Make the buffer as large as a request's replies now and keep it, so that nothing is allocated while latencies
     * are measured. */
    reader->maxbuf = 0;
    sds buffer = sdsMakeRoomFor(reader->buf, size->unjudged_bytes + DISCARD_BYTES);
    if (buffer == NULL) {
        redisReaderFree(reader);
        return NULL;
    }
    reader->buf = buffer;
    return reader;
}

static void close_reader(void *reader)
{
    redisReaderFree(reader);
}

/* The reader's own buffer, into which redisReaderFeed would copy. */
static char *room(void *of, size_t *bytes)
{
    redisReader *reader = of;
    if (sdsavail(reader->buf) < LEAST_ROOM_BYTES) {
        sds buffer = sdsMakeRoomFor(reader->buf, LEAST_ROOM_BYTES);
        if (buffer == NULL)
            return NULL;
        reader->buf = buffer;
    }
    *bytes = sdsavail(reader->buf);
    return reader->buf + reader->len;
}

static void came(void *of, size_t bytes)
{
    redisReader *reader = of;
    reader->len += bytes;
    sdssetlen(reader->buf, reader->len);
    reader->buf[reader->len] = '\0';
}

/* A reply is incomplete: limit how much of it is kept, and so the memory. */
static enum io_status await_rest(const redisReader *reader)
{
    struct replycheck *check = reader->privdata;
    const struct reply_plan *plan = plan_of(check);
    size_t came = reader->len - reader->pos, most = REPLY_SPARE_BYTES;
    if (came <= most)
        return IO_AGAIN;
    for (size_t i = 0; i < plan->count; i++)
        most += plan->expected[i].bytes;
    if (came <= most)
        return IO_AGAIN;
    replycheck_fail(check, FAILURE_WRONG_SIZE, "a reply of over %zu bytes, expected %zu", most,
                    most - REPLY_SPARE_BYTES);
    return IO_FAILED;
}

static enum io_status judge(void *of)
{
    redisReader *reader = of;
    struct replycheck *check = reader->privdata;
    void *reply;
    for (;;) {
        if (redisReaderGetReply(reader, &reply) != REDIS_OK) {
            replycheck_fail(check, FAILURE_PROTOCOL, "%s", reader->errstr);
            return IO_FAILED;
        }
        if (reply == NULL)
            return await_rest(reader);
        if (reply_done(check))
            return IO_DONE;
    }
}

static enum io_status ended(void *of)
{
    redisReader *reader = of;
    replycheck_fail(reader->privdata, FAILURE_CONNECTION_LOST, "the server closed the connection");
    return IO_FAILED;
}

static bool has_unjudged(const void *of)
{
    const redisReader *reader = of;
    return reader->pos < reader->len;
}

const struct protocol resp_protocol = {
    .may_pipeline = true,
    .open = open_reader,
    .room = room,
    .came = came,
    .judge = judge,
    .ended = ended,
    .has_unjudged = has_unjudged,
    .close = close_reader,
};

#define TEXT_OF(token) #token
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *resp_library_version(void)
{
    return VERSION_TEXT(HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
}
