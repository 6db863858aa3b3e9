/* A server of the Open Inference Protocol whose service time is known by construction.
 *
 *     known_server sleep|work MICROSECONDS VALUES
 *
 * It listens on a free port of 127.0.0.1 and prints that. A request takes MICROSECONDS: of time on no CPU, or
 * of work on one, one request after another. Its output has VALUES numbers, as JSON. SIGTERM ends it: it
 * prints how many requests it answered, and the median and the 99th percentile of what they took in it, in
 * milliseconds, from the last byte received to the first one sent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/tcp.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000LL
#define NS_PER_US 1000LL
#define NS_PER_MS 1e6
#define REQUEST_BYTES 65536
#define TIMES_MAX 4000000

static bool works;
static long long service_ns;
static char *server_reply, *model_reply, *infer_reply;
static pthread_mutex_t engine = PTHREAD_MUTEX_INITIALIZER;
static float *times_ms;
static atomic_long answered;

static long long clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void serve_one(void)
{
    if (!works) {
        struct timespec rest = {service_ns / NS_PER_S, service_ns % NS_PER_S};
        if (service_ns > 0)
            nanosleep(&rest, NULL);
        return;
    }
    pthread_mutex_lock(&engine);
    long long until_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) + service_ns;
    while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < until_ns)
        ;
    pthread_mutex_unlock(&engine);
}

static char *http(const char *body)
{
    char *reply;
    if (asprintf(&reply, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                 strlen(body), body) < 0)
        abort();
    return reply;
}

static void make_replies(int values)
{
    char *body = malloc(256 + 8 * (size_t)values), *end = body;
    end += sprintf(end, "{\"model_name\":\"m\",\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\","
                        "\"shape\":[1,%d],\"data\":[0.5", values);
    for (int i = 1; i < values; i++)
        end += sprintf(end, ",0.25");
    sprintf(end, "]}]}");
    infer_reply = http(body);
    server_reply = http("{\"name\":\"known\",\"version\":\"1\",\"extensions\":[]}");
    sprintf(body, "{\"name\":\"m\",\"versions\":[\"1\"],\"platform\":\"c\","
                  "\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,8]}],"
                  "\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[-1,%d]}]}", values);
    model_reply = http(body);
    free(body);
}

/* Receive a whole request; its length, or 0 at the end of the connection. */
static size_t receive(int fd, char *request, size_t *got)
{
    for (;;) {
        request[*got] = '\0';
        char *end = strstr(request, "\r\n\r\n");
        if (end != NULL) {
            const char *length = strcasestr(request, "\r\ncontent-length:");
            size_t whole = (size_t)(end + 4 - request);
            if (length != NULL && length < end)
                whole += (size_t)atol(length + strlen("\r\ncontent-length:"));
            if (*got >= whole)
                return whole;
        }
        ssize_t more = read(fd, request + *got, REQUEST_BYTES - 1 - *got);
        if (more <= 0)
            return 0;
        *got += (size_t)more;
    }
}

static bool send_all(int fd, const char *reply)
{
    size_t left = strlen(reply);
    while (left > 0) {
        ssize_t sent = write(fd, reply, left);
        if (sent <= 0)
            return false;
        reply += sent;
        left -= (size_t)sent;
    }
    return true;
}

static void *serve_connection(void *argument)
{
    int fd = (int)(long)argument, one = 1;
    char *request = malloc(REQUEST_BYTES);
    size_t got = 0, whole;
    bool goes_on = true;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    while (goes_on && (whole = receive(fd, request, &got)) > 0) {
        const char *reply = server_reply;
        if (strncmp(request, "POST", 4) == 0) {
            long long from_ns = clock_ns(CLOCK_MONOTONIC);
            serve_one();
            long n = atomic_fetch_add(&answered, 1);
            if (n < TIMES_MAX)
                times_ms[n] = (float)((double)(clock_ns(CLOCK_MONOTONIC) - from_ns) / NS_PER_MS);
            reply = infer_reply;
        } else if (strstr(request, "/models/m ") || strstr(request, "/models/m/ready ")) {
            reply = model_reply;
        }
        goes_on = send_all(fd, reply);
        memmove(request, request + whole, got - whole);
        got -= whole;
    }
    close(fd);
    free(request);
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void *accept_all(void *listening)
{
    for (;;) {
        int fd = accept((int)(long)listening, NULL, NULL);
        pthread_t thread;
        if (fd >= 0 && pthread_create(&thread, NULL, serve_connection, (void *)(long)fd) == 0)
            pthread_detach(thread);
    }
    return NULL;
}

int main(int count, char **words)
{
    if (count != 4) {
        fprintf(stderr, "usage: known_server sleep|work MICROSECONDS VALUES\n");
        return 2;
    }
    works = strcmp(words[1], "work") == 0;
    service_ns = atoll(words[2]) * NS_PER_US;
    make_replies(atoi(words[3]));
    times_ms = calloc(TIMES_MAX, sizeof *times_ms);
    signal(SIGPIPE, SIG_IGN);
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ending, NULL);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int listening = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listening, (struct sockaddr *)&address, bytes) || listen(listening, 512) ||
        getsockname(listening, (struct sockaddr *)&address, &bytes)) {
        perror("known_server");
        return 1;
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    pthread_t accepting;
    pthread_create(&accepting, NULL, accept_all, (void *)(long)listening);
    int signal_number;
    sigwait(&ending, &signal_number);
    long n = atomic_load(&answered);
    n = n > TIMES_MAX ? TIMES_MAX : n;
    qsort(times_ms, (size_t)n, sizeof *times_ms, by_value);
    printf("%ld %.3f %.3f\n", n, n ? (double)times_ms[n / 2] : 0.0, n ? (double)times_ms[n - 1 - n / 100] : 0.0);
    return 0;
}
