/* The least that a client of streams of tokens can do: epoll, and recvmsg with the kernel's receive stamps. It counts events
 * by the empty lines behind them, and looks for the end of a reply in its last bytes. No parser, no checks, no histogram,
 * no schedule; one thread.
 *
 * usage: bare_stream PORT STREAMS SECONDS REQUEST_FILE [LOG_FILE]
 * Each of STREAMS connections sends the file's bytes, and again when the reply is whole, until SECONDS have passed; replies
 * that are under way then are read to their end. Prints: events seconds cpu_seconds
 * LOG_FILE gets a record for each request, when it was sent, and for each event, when it came, of CLOCK_MONOTONIC.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "bare.h"

#define READY 256
#define BUFFER_BYTES 65536
#define EVENTS_A_SECOND 200000 /* that there is room for in the log */
#define NS_PER_S 1000000000LL
#define IS_REQUEST (1 << 6)

struct record {
    uint16_t port; /* of the client */
    uint16_t flags; /* IS_REQUEST, or none */
    uint32_t request; /* its ordinal on the connection */
    int64_t at_ns;
};

struct stream {
    int fd;
    uint16_t port;
    uint32_t request;
    bool after_newline; /* the last byte that came */
};

static const char end_of_reply[] = "0\r\n\r\n";
static const char *request;
static size_t request_bytes;
static struct record *records;
static size_t record_count, records_max;
static uint64_t events;
static char buffer[BUFFER_BYTES];

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void note(const struct stream *s, int flags, int64_t at_ns)
{
    if (record_count == records_max)
        fail("log", "more events than there is room for");
    records[record_count++] = (struct record){s->port, (uint16_t)flags, s->request, at_ns};
}

static void send_request(const struct stream *s)
{
    if (records)
        note(s, IS_REQUEST, clock_ns(CLOCK_MONOTONIC));
    if (send(s->fd, request, request_bytes, MSG_NOSIGNAL) != (ssize_t)request_bytes)
        fail("send", "the request was not sent whole");
}

static void open_stream(struct stream *s, int port, int epoll)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    socklen_t bytes = sizeof address;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    setsockopt(s->fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){1}, sizeof(int));
    if (connect(s->fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        getsockname(s->fd, (struct sockaddr *)&address, &bytes) < 0)
        fail("connect", strerror(errno));
    s->port = ntohs(address.sin_port);
    fcntl(s->fd, F_SETFL, O_NONBLOCK);
    epoll_ctl(epoll, EPOLL_CTL_ADD, s->fd, &event);
}

/* Return whether the reply is whole. */
static bool receive(struct stream *s)
{
    union {
        char room[CMSG_SPACE(sizeof(struct timespec))];
        struct cmsghdr alignment;
    } control;
    struct iovec iov = {buffer, sizeof buffer};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(s->fd, &message, 0);
    if (got < 0 && errno == EAGAIN)
        return false;
    if (got <= 0)
        fail("recvmsg", got ? strerror(errno) : "the server closed the connection");
    int64_t came_ns = clock_ns(CLOCK_MONOTONIC);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head != NULL && head->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec came;
        memcpy(&came, CMSG_DATA(head), sizeof came);
        came_ns -= clock_ns(CLOCK_REALTIME) - (came.tv_sec * NS_PER_S + came.tv_nsec);
    }

    size_t count = 0;
    const char *at = buffer, *end = buffer + got, *newline;
    for (bool after = s->after_newline; (newline = memchr(at, '\n', (size_t)(end - at))) != NULL; at = newline + 1)
        count += newline == at && (at > buffer || after);
    s->after_newline = end[-1] == '\n';
    events += count;
    for (; records && count > 0; count--)
        note(s, 0, came_ns);
    size_t tail = sizeof end_of_reply - 1;
    return (size_t)got >= tail && memcmp(end - tail, end_of_reply, tail) == 0;
}

static void write_log(const char *path)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(records, sizeof *records, record_count, file) != record_count || fclose(file) != 0)
        fail(path, strerror(errno));
}

int main(int argc, char **argv)
{
    if (argc < 5)
        fail("usage", "PORT STREAMS SECONDS REQUEST_FILE [LOG_FILE]");
    size_t count = (size_t)atol(argv[2]), open = count;
    double run_s = atof(argv[3]);
    struct epoll_event ready[READY];
    struct stream *streams = calloc(count, sizeof *streams);
    int epoll = epoll_create1(0);
    request = map_file(argv[4], &request_bytes);
    if (argc > 5) {
        records_max = (size_t)((run_s + 60) * EVENTS_A_SECOND);
        records = malloc(records_max * sizeof *records);
    }
    for (size_t i = 0; i < count; i++)
        open_stream(&streams[i], atoi(argv[1]), epoll);

    double start_s = now_s(), start_cpu_s = cpu_s();
    for (size_t i = 0; i < count; i++)
        send_request(&streams[i]);
    while (open > 0) {
        int found = epoll_wait(epoll, ready, READY, -1);
        for (int i = 0; i < found; i++) {
            struct stream *s = ready[i].data.ptr;
            if (!receive(s))
                continue;
            s->request++;
            if (now_s() - start_s < run_s)
                send_request(s);
            else
                open--;
        }
    }
    printf("%llu %.6f %.6f\n", (unsigned long long)events, now_s() - start_s, cpu_s() - start_cpu_s);
    if (records)
        write_log(argv[5]);
    free(records);
    free(streams);
    return 0;
}
