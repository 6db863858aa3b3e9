/* Drives the load generator without Python, so that sanitizers and valgrind see nothing but it.
 *
 * usage: driver PORT WORKERS THREADS REQUESTS TENSOR_FILE STOP_AFTER_MS REQUESTS_PER_S PIPELINE
 * Tensors are of TENSOR_BYTES, and generated where TENSOR_FILE is "-"; the figures are looked at
 * once in LOOK_EVERY_NS. Both may be set when it is compiled. STOP_AFTER_MS of 0 lets the run end
 * by itself, REQUESTS_PER_S of 0 is no limit.
 * Prints: requests successes failures abandoned latencies sample service_latencies late_starts
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "loadgen.h"

#ifndef TENSOR_BYTES
#define TENSOR_BYTES 16
#endif
#ifndef LOOK_EVERY_NS
#define LOOK_EVERY_NS NS_PER_MS
#endif
#define OUTPUT_BYTES 4004

static const char suffix[] = "\r\n*6\r\n$11\r\nAI.MODELRUN\r\n$4\r\nnull\r\n$6\r\nINPUTS\r\n$1\r\na\r\n"
                             "$7\r\nOUTPUTS\r\n$1\r\nb\r\n"
                             "*3\r\n$12\r\nAI.TENSORGET\r\n$1\r\nb\r\n$4\r\nBLOB\r\n";

static int fail(const char *why)
{
    fprintf(stderr, "driver: %s\n", why);
    return 1;
}

int main(int argc, char **argv)
{
    static struct loadgen_snapshot snapshot;
    static char output[OUTPUT_BYTES];
    char prefix[256], values[16];
    struct tensormap tensors;
    errstr_t errstr;
    uint64_t failures = 0, sampled = 0, tensor;
    int64_t latencies = 0, service_latencies = 0;
    if (argc != 9)
        return fail("usage: PORT WORKERS THREADS REQUESTS TENSOR_FILE STOP_AFTER_MS "
                    "REQUESTS_PER_S PIPELINE");
    uint32_t workers = (uint32_t)atoi(argv[2]);
    int64_t stop_after_ns = atoll(argv[6]) * NS_PER_MS;
    int mapped = strcmp(argv[5], "-") == 0
                     ? tensormap_generate(&tensors, 100, TENSOR_BYTES, TENSOR_FLOAT, 1, errstr)
                     : tensormap_open(&tensors, argv[5], TENSOR_BYTES, errstr);
    if (mapped < 0)
        return fail(errstr);
    int digits = snprintf(values, sizeof values, "%d", TENSOR_BYTES / 4);
    int prefix_bytes =
        snprintf(prefix, sizeof prefix,
                 "*7\r\n$12\r\nAI.TENSORSET\r\n$1\r\na\r\n$5\r\nFLOAT\r\n$1\r\n1\r\n$%d\r\n%s\r\n"
                 "$4\r\nBLOB\r\n$%d\r\n",
                 digits, values, TENSOR_BYTES);
    struct request_text *texts = calloc(workers, sizeof *texts);
    for (uint32_t i = 0; i < workers; i++)
        texts[i] = (struct request_text){prefix, (size_t)prefix_bytes, suffix, sizeof suffix - 1};
    struct loadgen_config config = {
        .endpoint = {.host = "127.0.0.1", .port = atoi(argv[1])},
        .tensors = &tensors,
        .texts = texts,
        .plan = {.count = 3,
                 .expected = {{REPLY_STATUS, 0}, {REPLY_STATUS, 0}, {REPLY_BULK, OUTPUT_BYTES}}},
        .output_bytes = OUTPUT_BYTES,
        .workers = workers,
        .threads = (uint32_t)atoi(argv[3]),
        .pipeline = (uint32_t)atoi(argv[8]),
        .batch = 1,
        .burn_in_requests = workers,
        .max_requests = strtoull(argv[4], NULL, 10),
        .requests_per_s = atof(argv[7]),
        .reply_timeout_ns = 500 * NS_PER_MS,
        .connect_timeout_ns = NS_PER_S,
    };
    struct loadgen *g = loadgen_create(&config, errstr);
    if (g == NULL)
        return fail(errstr);
    if (loadgen_start(g, errstr) < 0)
        return fail(errstr);
    int64_t started_ns = monotonic_ns();
    loadgen_want_sample(g);
    while (!loadgen_wait(g, LOOK_EVERY_NS)) {
        loadgen_read(g, &snapshot); /* while the threads count */
        if (loadgen_take_sample(g, output, &tensor)) {
            sampled++;
            loadgen_want_sample(g);
        }
        if (stop_after_ns && monotonic_ns() - started_ns > stop_after_ns)
            loadgen_stop(g);
    }
    loadgen_read(g, &snapshot);
    for (int kind = 0; kind < FAILURE_KINDS; kind++)
        failures += snapshot.failures.kinds[kind].count + snapshot.burn_in_failures.kinds[kind].count;
    for (int i = 0; i < HISTOGRAM_COUNTS; i++) {
        latencies += snapshot.latencies.counts[i];
        service_latencies += snapshot.service_latencies.counts[i];
    }
    printf("%llu %llu %llu %llu %lld %llu %lld %llu\n", (unsigned long long)snapshot.requests,
           (unsigned long long)snapshot.successes, (unsigned long long)failures,
           (unsigned long long)snapshot.abandoned, (long long)latencies,
           (unsigned long long)sampled, (long long)service_latencies,
           (unsigned long long)snapshot.late_starts);
    loadgen_free(g);
    tensormap_close(&tensors);
    free(texts);
    return 0;
}
