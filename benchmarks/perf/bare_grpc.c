/* The least that a client of gRPC can do: blocking sockets, nghttp2 for frames and header fields, writev of frame heads
 * and slices of the mapped body. Each connection has a thread, which reads a reply and sends the next request. No
 * histogram, no checks but of grpc-status, no schedule.
 *
 * usage: bare_grpc PORT CONNECTIONS STREAMS REQUESTS BODY_FILE, where STREAMS are outstanding on each connection, and
 * the file has the message of every request with gRPC's five bytes before it.
 * Prints: requests seconds cpu_seconds
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <nghttp2/nghttp2.h>

#include "bare.h"

#define PIECES 256
#define CONTROL_BYTES 65536
#define FRAME_HEAD_BYTES 9
#define FIELD(name, value) {(uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, strlen(value), 0}

struct connection {
    pthread_t thread;
    nghttp2_session *session;
    struct iovec pieces[PIECES]; /* to send */
    int count;
    size_t control_bytes;
    char control[CONTROL_BYTES];
    char received[CONTROL_BYTES];
    long outstanding;
    int fd;
    bool greeted;
};

static const char *body;
static size_t body_bytes;
static long requests;
static atomic_long next_request;
static char authority[32];

/* ---- What nghttp2 calls ---- */

static void flush(struct connection *c)
{
    write_all(c->fd, c->pieces, c->count);
    c->count = 0;
    c->control_bytes = 0;
}

static void add(struct connection *c, const void *bytes, size_t count)
{
    if (c->count + 2 > PIECES || c->control_bytes + count > CONTROL_BYTES)
        flush(c);
    char *to = memcpy(c->control + c->control_bytes, bytes, count);
    c->pieces[c->count++] = (struct iovec){to, count};
    c->control_bytes += count;
}

static nghttp2_ssize frame_bytes(nghttp2_session *session, uint8_t type, int32_t id, int32_t connection_window,
                                 int32_t stream_window, uint32_t frame_bytes_max, void *user)
{
    (void)session, (void)type, (void)id, (void)connection_window, (void)stream_window, (void)user;
    return frame_bytes_max;
}

static nghttp2_ssize read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                               nghttp2_data_source *source, void *user)
{
    size_t left = body_bytes - (size_t)nghttp2_session_get_stream_user_data(session, id);
    (void)to, (void)source, (void)user;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY | (left <= room ? NGHTTP2_DATA_FLAG_EOF : 0);
    return (nghttp2_ssize)(left < room ? left : room);
}

static int send_body(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t bytes,
                     nghttp2_data_source *source, void *user)
{
    struct connection *c = user;
    int32_t id = frame->hd.stream_id;
    size_t sent = (size_t)nghttp2_session_get_stream_user_data(session, id);
    (void)source;
    add(c, head, FRAME_HEAD_BYTES);
    c->pieces[c->count++] = (struct iovec){(char *)body + sent, bytes};
    nghttp2_session_set_stream_user_data(session, id, (void *)(sent + bytes));
    return 0;
}

static int on_field(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_bytes,
                    const uint8_t *value, size_t value_bytes, uint8_t flags, void *user)
{
    (void)session, (void)frame, (void)flags, (void)user;
    if (name_bytes == 11 && memcmp(name, "grpc-status", 11) == 0 && (value_bytes != 1 || *value != '0'))
        fail("grpc-status", (const char *)value);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct connection *c = user;
    (void)session;
    c->greeted |= frame->hd.type == NGHTTP2_SETTINGS;
    return 0;
}

/* Send the connection's next request, if there is one. */
static void send_next(struct connection *c)
{
    nghttp2_nv fields[] = {FIELD(":method", "POST"), FIELD(":scheme", "http"), FIELD(":authority", authority),
                           FIELD(":path", "/inference.GRPCInferenceService/ModelInfer"),
                           FIELD("content-type", "application/grpc"), FIELD("te", "trailers")};
    nghttp2_data_provider2 data = {{0}, read_body};
    if (atomic_fetch_add(&next_request, 1) >= requests)
        return;
    if (nghttp2_submit_request2(c->session, NULL, fields, sizeof fields / sizeof *fields, &data, NULL) < 0)
        fail("submit", "nghttp2 has no stream left");
    c->outstanding++;
}

static int on_closed(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct connection *c = user;
    (void)session, (void)id;
    if (code)
        fail("stream", nghttp2_http2_strerror(code));
    c->outstanding--;
    send_next(c);
    return 0;
}

/* ---- A connection ---- */

static void send_all(struct connection *c)
{
    const uint8_t *bytes;
    nghttp2_ssize count;
    while ((count = nghttp2_session_mem_send2(c->session, &bytes)) > 0)
        add(c, bytes, (size_t)count);
    if (count < 0)
        fail("send", nghttp2_strerror((int)count));
    flush(c);
}

static void receive(struct connection *c)
{
    ssize_t count = recv(c->fd, c->received, sizeof c->received, 0);
    if (count <= 0)
        fail("recv", count ? strerror(errno) : "the server closed the connection");
    nghttp2_ssize took = nghttp2_session_mem_recv2(c->session, (uint8_t *)c->received, (size_t)count);
    if (took < 0)
        fail("reply", nghttp2_strerror((int)took));
    send_all(c);
}

static void open_connection(struct connection *c, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, INT32_MAX};
    nghttp2_session_callbacks *callbacks;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect", strerror(errno));
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_data_source_read_length_callback2(callbacks, frame_bytes);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_body);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_field);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_closed);
    nghttp2_session_client_new(&c->session, callbacks, c);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, &window, 1);
    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, INT32_MAX);
    send_all(c);
    while (!c->greeted)
        receive(c);
}

static void *drive(void *argument)
{
    struct connection *c = argument;
    send_all(c);
    while (c->outstanding > 0)
        receive(c);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 6)
        fail("usage", "PORT CONNECTIONS STREAMS REQUESTS BODY_FILE");
    long count = atol(argv[2]), streams = atol(argv[3]);
    requests = atol(argv[4]);
    body = map_file(argv[5], &body_bytes);
    snprintf(authority, sizeof authority, "127.0.0.1:%s", argv[1]);
    struct connection *connections = calloc((size_t)count, sizeof *connections);
    for (long i = 0; i < count; i++)
        open_connection(&connections[i], atoi(argv[1]));

    double start_s = now_s(), start_cpu_s = cpu_s();
    for (long i = 0; i < count; i++) {
        for (long one = 0; one < streams; one++)
            send_next(&connections[i]);
        pthread_create(&connections[i].thread, NULL, drive, &connections[i]);
    }
    for (long i = 0; i < count; i++)
        pthread_join(connections[i].thread, NULL);
    printf("%ld %.6f %.6f\n", requests, now_s() - start_s, cpu_s() - start_cpu_s);
    for (long i = 0; i < count; i++)
        nghttp2_session_del(connections[i].session);
    free(connections);
    return 0;
}
