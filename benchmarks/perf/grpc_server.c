/* A server of gRPC that answers every inference with the same message, as fast as one thread can: nghttp2, epoll, a read
 * and a write for all that came at once. Other calls get UNIMPLEMENTED. It reads and drops what it is sent.
 *
 * usage: grpc_server REPLY_FILE, which has the message with gRPC's five bytes before it.
 * Prints its port when it listens, and ends when it is killed.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <nghttp2/nghttp2.h>

#include "bare.h"

#define EVENTS 64
#define BUFFER_BYTES (1 << 20)
#define STREAMS_MAX 1000
#define METHOD "/inference.GRPCInferenceService/ModelInfer"
#define FIELD(name, value) {(uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, sizeof(value) - 1, 0}

struct connection {
    nghttp2_session *session;
    int fd;
};

static const char *reply;
static size_t reply_bytes;
static uint8_t buffer[BUFFER_BYTES];

/* ---- What nghttp2 calls ---- */

static nghttp2_ssize read_reply(nghttp2_session *session, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                                nghttp2_data_source *source, void *user)
{
    static const nghttp2_nv status[] = {FIELD("grpc-status", "0")};
    (void)source, (void)user;
    if (reply_bytes > room)
        fail("reply", "it does not fit into a frame");
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    nghttp2_submit_trailer(session, id, status, 1);
    memcpy(to, reply, reply_bytes);
    return (nghttp2_ssize)reply_bytes;
}

static void answer(nghttp2_session *session, int32_t id)
{
    static const nghttp2_nv fields[] = {FIELD(":status", "200"), FIELD("content-type", "application/grpc"),
                                        FIELD("grpc-status", "12")};
    nghttp2_data_provider2 data = {{0}, read_reply};
    bool infers = nghttp2_session_get_stream_user_data(session, id) != NULL;
    nghttp2_submit_response2(session, id, fields, infers ? 2 : 3, infers ? &data : NULL);
}

static int on_field(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_bytes,
                    const uint8_t *value, size_t value_bytes, uint8_t flags, void *user)
{
    (void)flags, (void)value_bytes;
    if (name_bytes == 5 && memcmp(name, ":path", 5) == 0 && strcmp((const char *)value, METHOD) == 0)
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, user);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)user;
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        answer(session, frame->hd.stream_id);
    return 0;
}

/* ---- A connection ---- */

static void send_all(struct connection *c)
{
    const uint8_t *bytes;
    nghttp2_ssize count;
    size_t filled = 0;
    while ((count = nghttp2_session_mem_send2(c->session, &bytes)) > 0) {
        if (filled + (size_t)count > sizeof buffer)
            fail("send", "too much at once");
        memcpy(buffer + filled, bytes, (size_t)count);
        filled += (size_t)count;
    }
    if (filled > 0 && send(c->fd, buffer, filled, MSG_NOSIGNAL) != (ssize_t)filled)
        shutdown(c->fd, SHUT_RDWR);
}

static void receive(struct connection *c)
{
    ssize_t count = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN)
        return;
    if (count > 0 && nghttp2_session_mem_recv2(c->session, buffer, (size_t)count) == count) {
        send_all(c);
        return;
    }
    close(c->fd);
    nghttp2_session_del(c->session);
    free(c);
}

static void open_connection(int events, int fd, const nghttp2_session_callbacks *callbacks)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, INT32_MAX},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS_MAX},
    };
    struct connection *c = calloc(1, sizeof *c);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    c->fd = fd;
    nghttp2_session_server_new(&c->session, callbacks, c);
    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings);
    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, INT32_MAX);
    send_all(c);
    epoll_ctl(events, EPOLL_CTL_ADD, fd, &event);
}

/* Listen on a free port, which is printed. */
static int open_listener(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&address, bytes) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &bytes) < 0)
        fail("listen", strerror(errno));
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    struct epoll_event ready[EVENTS], event = {.events = EPOLLIN};
    nghttp2_session_callbacks *callbacks;
    if (argc != 2)
        fail("usage", "REPLY_FILE");
    reply = map_file(argv[1], &reply_bytes);
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_field);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    int events = epoll_create1(0), listener = open_listener();
    epoll_ctl(events, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(events, ready, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (ready[i].data.ptr != NULL)
                receive(ready[i].data.ptr);
            else
                open_connection(events, accept(listener, NULL, NULL), callbacks);
        }
    }
}
