#include "connection.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

/* Far more than any allowed reply takes, even in chunks of one byte. Without this limit a reply without an end would be
 * read forever if it comes as fast as it is read. */
#define ENDLESS_TIMES 8
#define ENDLESS_SPARE_BYTES (16 << 20)

int connection_open(struct connection *c, const struct endpoint *endpoint, const struct reader_size *size,
                    size_t longest_bytes, errstr_t errstr)
{
    int opened = transport_open(&c->transport, endpoint, errstr);
    if (opened < 0)
        return opened;
    struct reader_size opened_size = *size;
    opened_size.waited_ns = &c->reply_wait_ns;
    if (size->log)
        opened_size.local_port = transport_local_port(&c->transport);
    c->reader = c->protocol->open(c->check, &opened_size);
    if (c->reader == NULL) {
        transport_close(&c->transport);
        snprintf(errstr, ERRSTR_BYTES, "out of memory");
        return -1;
    }
    c->endless_bytes = ENDLESS_TIMES * longest_bytes + ENDLESS_SPARE_BYTES;
    c->sent_bytes = 0;
    c->received_bytes = 0;
    c->ended = false;
    c->hung_up = false;
    c->has_unjudged = false;
    c->receives = 0;
    c->unstamped = c->protocol->stamps_all ? 0 : RECEIVES_A_STAMP - 1;
    c->reply_wait_ns = -1;
    return 0;
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
        ssize_t sent = transport_send(&c->transport, *iov, *count < IOV_MAX ? *count : IOV_MAX);
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
            replycheck_fail(c->check, FAILURE_CONNECTION_LOST, "sending: %s",
                            transport_error(&c->transport));
            return IO_FAILED;
        }
    }
    return IO_DONE;
}

/* Receive as much as the reader has room for: all that is outstanding, unless the replies are large. `*more`: more can
 * be received at once. */
static ssize_t receive(struct connection *c, bool *more)
{
    size_t room;
    char *to = c->protocol->room(c->reader, &room);
    if (to == NULL) {
        errno = ENOMEM;
        return -1;
    }
    struct transport *from = &c->transport;
    ssize_t got = (c->receives++ & c->unstamped) == 0
                      ? transport_receive_stamped(from, to, room, more, &c->reply_wait_ns)
                      : transport_receive(from, to, room, more);
    if (got > 0) {
        c->protocol->came(c->reader, (size_t)got);
        c->received_bytes += (uint64_t)got;
    }
    return got;
}

enum io_status connection_receive(struct connection *c)
{
    enum io_status status = c->has_unjudged ? c->protocol->judge(c->reader) : IO_AGAIN;
    bool more = true;
    uint64_t endless_at = c->received_bytes + c->endless_bytes;
    while (status == IO_AGAIN && more) {
        ssize_t got = receive(c, &more);
        if (got > 0) {
            status = c->protocol->judge(c->reader);
            if (status == IO_AGAIN && c->received_bytes > endless_at) {
                replycheck_fail(c->check, FAILURE_PROTOCOL, "a reply of over %zu bytes that does not end",
                                c->endless_bytes);
                status = IO_FAILED;
            }
            /* Everything that came is read; epoll reports when more comes, or the end. */
            more |= c->hung_up;
        } else if (got == 0) {
            c->ended = true;
            status = c->protocol->ended(c->reader);
        } else if (errno == EAGAIN) {
            more = false;
        } else if (errno == EINTR) {
            more = true;
        } else {
            replycheck_fail(c->check, FAILURE_CONNECTION_LOST, "receiving: %s",
                            transport_error(&c->transport));
            status = IO_FAILED;
        }
    }
    c->has_unjudged = c->protocol->has_unjudged(c->reader);
    return status;
}

void connection_close(struct connection *c)
{
    if (c->reader) {
        c->protocol->close(c->reader);
        transport_close(&c->transport);
    }
    c->reader = NULL;
}
