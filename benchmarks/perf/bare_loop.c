/* The least a client can do: blocking sockets, hiredis for the replies, writev for the request. A
 * thread drives its connections in turn: it reads one's replies and sends its next request. No
 * histogram, no checks but for errors, no schedule.
 *
 * usage: bare_loop PORT WORKERS THREADS REQUESTS MODEL TENSOR_FILE TENSOR_BYTES
 * Prints: requests seconds cpu_seconds
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <hiredis.h>

#include "bare.h"

struct connection {
    redisContext *context;
    char prefix[256], *suffix;
    size_t prefix_bytes, suffix_bytes;
    bool waiting; /* a request is sent and not answered */
};

struct share {
    pthread_t thread;
    struct connection *connections;
    long count;
};

static const char *tensors;
static size_t tensor_bytes, tensor_count;
static long requests;
static atomic_long next_request;

static void open_connection(struct connection *c, int port, const char *model, long number)
{
    char *run, *get, in[64], out[64];
    c->context = redisConnect("127.0.0.1", port);
    if (c->context == NULL || c->context->err)
        fail("connect", c->context ? c->context->errstr : "out of memory");
    const char *tag = strchr(model, '{'); /* of a cluster's shard, whose keys have it too */
    snprintf(in, sizeof in, "imageTensor:%s{w%ld}", tag ? tag : "", number);
    snprintf(out, sizeof out, "classificationTensor:%s{w%ld}", tag ? tag : "", number);
    int prefix_bytes = snprintf(c->prefix, sizeof c->prefix,
                                "*9\r\n$12\r\nAI.TENSORSET\r\n$%zu\r\n%s\r\n$5\r\nFLOAT\r\n$1\r\n1\r\n"
                                "$3\r\n224\r\n$3\r\n224\r\n$1\r\n3\r\n$4\r\nBLOB\r\n$%zu\r\n",
                                strlen(in), in, tensor_bytes);
    int run_bytes =
        redisFormatCommand(&run, "AI.MODELRUN %s INPUTS %s OUTPUTS %s", model, in, out);
    int get_bytes = redisFormatCommand(&get, "AI.TENSORGET %s BLOB", out);
    c->prefix_bytes = (size_t)prefix_bytes;
    c->suffix_bytes = (size_t)(2 + run_bytes + get_bytes);
    c->suffix = malloc(c->suffix_bytes);
    memcpy(c->suffix, "\r\n", 2);
    memcpy(c->suffix + 2, run, (size_t)run_bytes);
    memcpy(c->suffix + 2 + run_bytes, get, (size_t)get_bytes);
    redisFreeCommand(run);
    redisFreeCommand(get);
}

/* Send the connection's next request, where there is one. */
static void send_next(struct connection *c)
{
    long request = atomic_fetch_add(&next_request, 1);
    c->waiting = request < requests;
    if (!c->waiting)
        return;
    const char *tensor = tensors + (size_t)request % tensor_count * tensor_bytes;
    struct iovec iov[3] = {{c->prefix, c->prefix_bytes},
                           {(void *)tensor, tensor_bytes},
                           {c->suffix, c->suffix_bytes}};
    write_all(c->context->fd, iov, 3);
}

static void read_replies(struct connection *c)
{
    for (int i = 0; i < 3; i++) {
        redisReply *reply;
        if (redisGetReply(c->context, (void **)&reply) != REDIS_OK)
            fail("reply", c->context->errstr);
        if (reply->type == REDIS_REPLY_ERROR)
            fail("refused", reply->str);
        freeReplyObject(reply);
    }
}

static void *drive(void *argument)
{
    struct share *share = argument;
    bool any = true;
    for (long i = 0; i < share->count; i++)
        send_next(&share->connections[i]);
    while (any) {
        any = false;
        for (long i = 0; i < share->count; i++) {
            struct connection *c = &share->connections[i];
            if (!c->waiting)
                continue;
            read_replies(c);
            send_next(c);
            any = true;
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    size_t file_bytes;
    if (argc != 8)
        fail("usage", "PORT WORKERS THREADS REQUESTS MODEL TENSOR_FILE TENSOR_BYTES");
    long workers = atol(argv[2]), threads = atol(argv[3]);
    requests = atol(argv[4]);
    tensor_bytes = strtoul(argv[7], NULL, 10);
    if (threads < 1 || threads > workers)
        fail("start", "more threads than workers");
    tensors = map_file(argv[6], &file_bytes);
    tensor_count = file_bytes / tensor_bytes;
    struct connection *connections = calloc((size_t)workers, sizeof *connections);
    struct share *shares = calloc((size_t)threads, sizeof *shares);
    for (long i = 0; i < workers; i++)
        open_connection(&connections[i], atoi(argv[1]), argv[5], i);

    double start_s = now_s(), start_cpu_s = cpu_s();
    for (long i = 0; i < threads; i++) {
        long first = workers * i / threads;
        shares[i].connections = connections + first;
        shares[i].count = workers * (i + 1) / threads - first;
        pthread_create(&shares[i].thread, NULL, drive, &shares[i]);
    }
    for (long i = 0; i < threads; i++)
        pthread_join(shares[i].thread, NULL);
    printf("%ld %.6f %.6f\n", requests, now_s() - start_s, cpu_s() - start_cpu_s);
    for (long i = 0; i < workers; i++) {
        redisFree(connections[i].context);
        free(connections[i].suffix);
    }
    free(connections);
    free(shares);
    return 0;
}
