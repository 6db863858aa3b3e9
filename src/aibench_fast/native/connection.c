#include "connection.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <hiredis.h>
#include <sds.h>

#include "clock.h"

/* hiredis lets up to 1 KiB of parsed replies stand before it moves the rest down. */
#define DISCARD_BYTES 2048
#define LEAST_ROOM_BYTES 512 /* to receive into */
#define FULL_QUEUE_TRIES 1000 /* a millisecond each */

static int depth_of(const redisReadTask *task)
{
    int depth = 0;
    for (const redisReadTask *t = task->parent; t != NULL; t = t->parent)
        depth++;
    return depth;
}

/* hiredis takes NULL for out of memory; any other pointer will do where no object is built. */
static void *nothing_built(const redisReadTask *task)
{
    return task->privdata;
}

static void *on_leaf(const redisReadTask *task, enum reply_type type, const char *text,
                     size_t bytes)
{
    size_t index = task->idx > 0 ? (size_t)task->idx : 0; /* -1 at the top level */
    replycheck_leaf(task->privdata, depth_of(task), index, type, text, bytes);
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
    replycheck_array(task->privdata, depth_of(task), index, elements);
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

/* A unix socket connects at once or, where the server's queue of new connections is full, not at
 * all; hiredis takes that for a connection under way, which nothing would ever tell the end of. */
static bool queue_is_full(const redisContext *context, const struct endpoint *endpoint)
{
    struct sockaddr_storage peer;
    socklen_t bytes = sizeof peer;
    return context != NULL && !context->err && endpoint->socket != NULL &&
           getpeername(context->fd, (struct sockaddr *)&peer, &bytes) < 0 && errno == ENOTCONN;
}

static redisContext *begin_to_connect(const struct endpoint *endpoint)
{
    const struct timespec pause = {.tv_nsec = NS_PER_MS};
    redisOptions options = {.options = REDIS_OPT_NONBLOCK};
    if (endpoint->socket)
        REDIS_OPTIONS_SET_UNIX(&options, endpoint->socket);
    else
        REDIS_OPTIONS_SET_TCP(&options, endpoint->host, endpoint->port);
    redisContext *context = redisConnectWithOptions(&options);
    for (int i = 0; i < FULL_QUEUE_TRIES && queue_is_full(context, endpoint); i++) {
        nanosleep(&pause, NULL);
        redisFree(context);
        context = redisConnectWithOptions(&options);
    }
    return context;
}

int connection_open(struct connection *c, const struct endpoint *endpoint, size_t reply_bytes,
                    errstr_t errstr)
{
    redisContext *context = begin_to_connect(endpoint);
    if (queue_is_full(context, endpoint)) {
        redisFree(context);
        snprintf(errstr, ERRSTR_BYTES, "the server's queue of new connections stays full");
        return -1;
    }
    if (context == NULL || context->err) {
        snprintf(errstr, ERRSTR_BYTES, "%s", context ? context->errstr : "out of memory");
        if (context)
            redisFree(context);
        return -1;
    }
    redisReader *reader = context->reader;
    reader->fn = &check_functions;
    reader->privdata = c->check;
    /* The buffer is made as large as a request's replies now and kept, so that nothing is
     * allocated while latencies are measured. */
    reader->maxbuf = 0;
    sds buffer = sdsMakeRoomFor(reader->buf, reply_bytes + DISCARD_BYTES);
    if (buffer == NULL) {
        redisFree(context);
        snprintf(errstr, ERRSTR_BYTES, "out of memory");
        return -1;
    }
    reader->buf = buffer;
    if (endpoint->socket == NULL) /* a unix socket has no such stamps */
        setsockopt(context->fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){1}, sizeof(int));
    c->context = context;
    c->sent_bytes = 0;
    c->hung_up = false;
    c->receives = 0;
    c->reply_wait_ns = -1;
    return 0;
}

int connection_ready(struct connection *c, errstr_t errstr)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(c->context->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        error = errno;
    if (error)
        snprintf(errstr, ERRSTR_BYTES, "%s", strerror(error));
    return error ? -1 : 0;
}

int connection_await(struct connection *c, int timeout_ms, errstr_t errstr)
{
    struct pollfd waited = {.fd = c->context->fd, .events = POLLOUT};
    int ready = poll(&waited, 1, timeout_ms);
    if (ready == 1)
        return connection_ready(c, errstr);
    snprintf(errstr, ERRSTR_BYTES, "%s",
             ready == 0 ? "no connection within the time allowed" : strerror(errno));
    return -1;
}

int connection_fd(const struct connection *c)
{
    return c->context->fd;
}

static void skip_sent(struct iovec **iov, size_t *count, size_t sent)
{
    while (*count > 0 && sent >= (*iov)->iov_len) {
        sent -= (*iov)->iov_len;
        (*iov)++;
        (*count)--;
    }
    if (sent > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + sent;
        (*iov)->iov_len -= sent;
    }
}

enum io_status connection_send(struct connection *c, struct iovec **iov, size_t *count)
{
    while (*count > 0) {
        struct msghdr message = {.msg_iov = *iov, .msg_iovlen = *count < IOV_MAX ? *count : IOV_MAX};
        ssize_t sent = sendmsg(c->context->fd, &message, MSG_NOSIGNAL);
        if (sent >= 0) {
            c->sent_bytes += (uint64_t)sent;
            skip_sent(iov, count, (size_t)sent);
        } else if (errno == EAGAIN) {
            return IO_AGAIN;
        } else if (errno == EFAULT) { /* only the map can vanish */
            replycheck_fail(c->check, FAILURE_TENSOR_FILE,
                            "the tensor file was changed while it was sent from");
            return IO_FAILED;
        } else if (errno != EINTR) {
            replycheck_fail(c->check, FAILURE_CONNECTION_LOST, "sending: %s", strerror(errno));
            return IO_FAILED;
        }
    }
    return IO_DONE;
}

/* Judge the whole replies in the reader's buffer, up to the request's last. */
static enum io_status judge(struct connection *c)
{
    redisReader *reader = c->context->reader;
    void *reply;
    for (;;) {
        if (redisReaderGetReply(reader, &reply) != REDIS_OK) {
            replycheck_fail(c->check, FAILURE_PROTOCOL, "%s", reader->errstr);
            return IO_FAILED;
        }
        if (reply == NULL)
            return IO_AGAIN;
        if (replycheck_reply_done(c->check))
            return IO_DONE;
    }
}

/* Receive with the time at which the last of the bytes came, as the kernel stamped it. */
__attribute__((noinline, cold)) static ssize_t recv_stamped(struct connection *c, char *buffer, size_t bytes)
{
    union {
        char room[CMSG_SPACE(sizeof(struct timespec))];
        struct cmsghdr alignment;
    } control;
    struct iovec iov = {buffer, bytes};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1,
                             .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(c->context->fd, &message, 0);
    struct cmsghdr *head = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec came;
        memcpy(&came, CMSG_DATA(head), sizeof came);
        int64_t waited_ns = clock_ns(CLOCK_REALTIME) - (came.tv_sec * NS_PER_S + came.tv_nsec);
        c->reply_wait_ns = waited_ns > 0 ? waited_ns : 0; /* that clock may be set back */
    }
    return got;
}

/* Receive into the reader's own buffer, where redisReaderFeed would copy to: as much as there is room
 * for, which is all that is outstanding unless the replies are large. `*full`: there may be more. */
static ssize_t receive(struct connection *c, bool *full)
{
    redisReader *reader = c->context->reader;
    sds buffer = sdsMakeRoomFor(reader->buf, LEAST_ROOM_BYTES);
    if (buffer == NULL) {
        errno = ENOMEM;
        return -1;
    }
    reader->buf = buffer;
    size_t room = sdsavail(buffer);
    char *end = buffer + reader->len;
    ssize_t got = c->receives++ % RECEIVES_A_STAMP == 0 ? recv_stamped(c, end, room)
                                                        : recv(c->context->fd, end, room, 0);
    if (got > 0) {
        sdsIncrLen(buffer, (int)got);
        reader->len += (size_t)got;
        *full = (size_t)got == room;
    }
    return got;
}

enum io_status connection_receive(struct connection *c)
{
    enum io_status status = connection_has_unjudged(c) ? judge(c) : IO_AGAIN;
    bool more = true;
    while (status == IO_AGAIN && more) {
        bool full = false;
        ssize_t got = receive(c, &full);
        if (got > 0) {
            status = judge(c);
            /* What came is all read then, and the owner is told when more comes, or an end. */
            more = full || c->hung_up;
        } else if (got == 0) {
            replycheck_fail(c->check, FAILURE_CONNECTION_LOST, "the server closed the connection");
            status = IO_FAILED;
        } else if (errno == EAGAIN) {
            more = false;
        } else if (errno != EINTR) {
            replycheck_fail(c->check, FAILURE_CONNECTION_LOST, "receiving: %s", strerror(errno));
            status = IO_FAILED;
        }
    }
    return status;
}

bool connection_has_unjudged(const struct connection *c)
{
    return c->context->reader->pos < c->context->reader->len;
}

void connection_close(struct connection *c)
{
    if (c->context)
        redisFree(c->context);
    c->context = NULL;
}

#define TEXT_OF(token) #token
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *connection_library_version(void)
{
    return VERSION_TEXT(HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
}
