/* A server of streams of tokens that simulates a model: nothing is computed, only times are kept.
 *
 * One thread waits for sockets and for tokens that are due.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "generator.h"
#include "native/clock.h"
#include "options.h"

#define HOST "127.0.0.1"
#define BACKLOG 16384
#define EVENTS_AT_ONCE 256

static volatile sig_atomic_t is_over;

static void end(int signal)
{
    (void)signal;
    is_over = 1;
}

struct server {
    struct generator generator;
    int64_t next_stall_ns;
    int epoll_fd;
    int listener;
    sigset_t waiting_mask; /* signals come while it waits, and at no other time */
};

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
}

static int watch(const struct server *server, int fd, uint32_t events, void *who)
{
    struct epoll_event event = {.events = events, .data.ptr = who};
    return epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int open_listener(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, HOST, &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1;
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
        bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    if (errno == EADDRINUSE)
        fprintf(stderr, "%s:%d is in use\n", HOST, port);
    else
        fprintf(stderr, "cannot listen on %s:%d: %s\n", HOST, port, strerror(errno));
    return -1;
}

static void accept_all(const struct server *server)
{
    for (;;) {
        struct sockaddr_in from;
        socklen_t length = sizeof(from);
        int fd = accept4(server->listener, (struct sockaddr *)&from, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        int yes = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        struct connection *c = connection_open(fd, ntohs(from.sin_port));
        if (c == NULL)
            close(fd);
        else if (watch(server, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, c) < 0)
            connection_close(c);
    }
}

static void serve(struct server *server, struct connection *c, uint32_t events)
{
    enum received received = RECEIVED_PART;
    if (events & EPOLLOUT)
        connection_flush(c);
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        received = RECEIVED_END; /* also of a client that closed one direction, for which no server answers */
    else if (events & EPOLLIN)
        received = connection_receive(c);
    if (received == RECEIVED_REQUEST)
        generator_take(&server->generator, c);
    if (received == RECEIVED_END) {
        generator_leave(&server->generator, c);
        connection_close(c);
    }
}

/* Do nothing at all until the end of a period, if it is time for that. Return when the next stall begins. */
static int64_t stall(struct server *server)
{
    const struct options *o = server->generator.options;
    if (o->stall_ns == 0)
        return INT64_MAX;
    int64_t end_ns = server->next_stall_ns + o->stall_ns;
    if (monotonic_ns() >= server->next_stall_ns) {
        for (int64_t left_ns; !is_over && (left_ns = end_ns - monotonic_ns()) > 0;) {
            struct timespec timeout = timespec_of(left_ns);
            ppoll(NULL, 0, &timeout, &server->waiting_mask);
        }
        server->generator.stalled_ns += o->stall_ns;
        server->next_stall_ns += o->stall_period_ns;
    }
    return server->next_stall_ns;
}

static void wait_until(const struct server *server, int64_t until_ns)
{
    int64_t wait_ns = until_ns - monotonic_ns();
    if (wait_ns < 0)
        wait_ns = 0;
    struct timespec timeout = timespec_of(wait_ns);
    struct pollfd sockets = {.fd = server->epoll_fd, .events = POLLIN};
    /* With nanoseconds, which epoll_wait does not have, nor epoll_pwait2 before Linux 5.11. */
    ppoll(&sockets, 1, until_ns == INT64_MAX ? NULL : &timeout, &server->waiting_mask);
}

static void run(struct server *server)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    const struct options *o = server->generator.options;
    server->next_stall_ns = monotonic_ns() + o->stall_period_ns - o->stall_ns;
    while (!is_over) {
        int64_t stalls_ns = stall(server), due_ns = generator_run(&server->generator);
        wait_until(server, stalls_ns < due_ns ? stalls_ns : due_ns);
        int ready = epoll_wait(server->epoll_fd, events, EVENTS_AT_ONCE, 0);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr == NULL)
                is_over = 1; /* the parent ended */
            else if (events[i].data.ptr == server)
                accept_all(server);
            else
                serve(server, events[i].data.ptr, events[i].events);
        }
    }
}

static void allow_many_connections(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static void take_signals(struct server *server)
{
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigprocmask(SIG_BLOCK, &blocked, &server->waiting_mask);
}

int main(int count, char **words)
{
    static struct server server;
    struct options options;
    if (options_read(&options, count, words) < 0)
        return 2;
    allow_many_connections();
    prctl(PR_SET_TIMERSLACK, 1); /* else the kernel wakes it up to 50 us late */
    take_signals(&server);
    if (generator_open(&server.generator, &options) < 0) {
        fprintf(stderr, "no memory\n");
        return 1;
    }
    server.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server.listener = open_listener((int)options.port);
    if (server.listener < 0)
        return 1;
    if (server.epoll_fd < 0 || watch(&server, server.listener, EPOLLIN, &server) < 0 ||
        (options.lifeline >= 0 && watch(&server, (int)options.lifeline, EPOLLIN, NULL) < 0)) {
        fprintf(stderr, "epoll: %s\n", strerror(errno));
        return 1;
    }
    run(&server);
    return options.log && send_log_save(&server.generator.log, options.log) < 0 ? 1 : 0;
}
