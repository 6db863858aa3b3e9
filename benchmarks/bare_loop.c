/* The least a client can do: blocking sockets, a thread a connection, hiredis for the replies,
 * writev for the request. No histogram, no checks but for errors, no schedule.
 *
 * usage: bare_loop PORT WORKERS REQUESTS MODEL TENSOR_FILE TENSOR_BYTES
 * Prints: requests seconds cpu_seconds
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#include <hiredis.h>

static const char *model;
static int port;
static const char *tensors;
static size_t tensor_bytes, tensor_count;
static long requests;
static atomic_long next_request;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "bare_loop: %s: %s\n", what, why);
    exit(1);
}

static void write_all(int fd, struct iovec *iov, int count)
{
    while (count > 0) {
        ssize_t sent = writev(fd, iov, count);
        if (sent < 0)
            fail("writev", strerror(errno));
        while (count > 0 && (size_t)sent >= iov->iov_len) {
            sent -= (ssize_t)iov->iov_len;
            iov++;
            count--;
        }
        if (count > 0) {
            iov->iov_base = (char *)iov->iov_base + sent;
            iov->iov_len -= (size_t)sent;
        }
    }
}

static void *worker(void *argument)
{
    long number = (long)argument;
    char prefix[256], *suffix, *run, *get, in[64], out[64];
    redisContext *context = redisConnect("127.0.0.1", port);
    if (context == NULL || context->err)
        fail("connect", context ? context->errstr : "out of memory");
    snprintf(in, sizeof in, "imageTensor:{w%ld}", number);
    snprintf(out, sizeof out, "classificationTensor:{w%ld}", number);
    int prefix_bytes = snprintf(prefix, sizeof prefix,
                                "*9\r\n$12\r\nAI.TENSORSET\r\n$%zu\r\n%s\r\n$5\r\nFLOAT\r\n$1\r\n1\r\n"
                                "$3\r\n224\r\n$3\r\n224\r\n$1\r\n3\r\n$4\r\nBLOB\r\n$%zu\r\n",
                                strlen(in), in, tensor_bytes);
    int run_bytes =
        redisFormatCommand(&run, "AI.MODELRUN %s INPUTS %s OUTPUTS %s", model, in, out);
    int get_bytes = redisFormatCommand(&get, "AI.TENSORGET %s BLOB", out);
    int suffix_bytes = 2 + run_bytes + get_bytes;
    suffix = malloc((size_t)suffix_bytes);
    memcpy(suffix, "\r\n", 2);
    memcpy(suffix + 2, run, (size_t)run_bytes);
    memcpy(suffix + 2 + run_bytes, get, (size_t)get_bytes);

    for (;;) {
        long request = atomic_fetch_add(&next_request, 1);
        if (request >= requests)
            break;
        const char *tensor = tensors + (size_t)request % tensor_count * tensor_bytes;
        struct iovec iov[3] = {{prefix, (size_t)prefix_bytes},
                               {(void *)tensor, tensor_bytes},
                               {suffix, (size_t)suffix_bytes}};
        write_all(context->fd, iov, 3);
        for (int i = 0; i < 3; i++) {
            redisReply *reply;
            if (redisGetReply(context, (void **)&reply) != REDIS_OK)
                fail("reply", context->errstr);
            if (reply->type == REDIS_REPLY_ERROR)
                fail("refused", reply->str);
            freeReplyObject(reply);
        }
    }
    redisFree(context);
    redisFreeCommand(run);
    redisFreeCommand(get);
    free(suffix);
    return NULL;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    struct stat status;
    struct rusage used;
    pthread_t threads[64];
    if (argc != 7)
        fail("usage", "bare_loop PORT WORKERS REQUESTS MODEL TENSOR_FILE TENSOR_BYTES");
    port = atoi(argv[1]);
    long workers = atol(argv[2]);
    requests = atol(argv[3]);
    model = argv[4];
    tensor_bytes = strtoul(argv[6], NULL, 10);
    int fd = open(argv[5], O_RDONLY);
    if (fd < 0 || fstat(fd, &status) < 0 || workers < 1 || workers > 64)
        fail("start", "no such tensor file, or not 1 to 64 workers");
    tensor_count = (size_t)status.st_size / tensor_bytes;
    tensors = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);

    double start_s = now_s();
    for (long i = 0; i < workers; i++)
        pthread_create(&threads[i], NULL, worker, (void *)i);
    for (long i = 0; i < workers; i++)
        pthread_join(threads[i], NULL);
    double took_s = now_s() - start_s;
    getrusage(RUSAGE_SELF, &used);
    double cpu_s = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                   (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("%ld %.6f %.6f\n", requests, took_s, cpu_s);
    return 0;
}
