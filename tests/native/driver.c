/* Runs the load generator without Python, so that sanitizers and valgrind see nothing else.
 *
 * usage: driver PORT WORKERS THREADS REQUESTS TENSOR_FILE STOP_AFTER_MS REQUESTS_PER_S PIPELINE KINDS PROTOCOL
 *        [CA_FILE]
 * or, to convert tensors to JSON and back: driver
 * Tensors have TENSOR_BYTES, and are generated if TENSOR_FILE is "-". The figures are read every LOOK_EVERY_NS, and a
 * reply fails after REPLY_TIMEOUT_NS. These are set when it is compiled. STOP_AFTER_MS 0: the run ends by itself. REQUESTS_PER_S 0: a closed loop; negative: Poisson
 * arrivals, half of them in a step of a ramp, shed when they are 100 ms late. KINDS above 1: a mix of so many.
 * PROTOCOL: resp, http, grpc, stream or tokens. With a CA_FILE it uses TLS, and trusts this authority.
 * Prints: requests successes failures abandoned latencies sample service_latencies late_starts shed parts. The last one
 * is the number of requests in the figures of all parts.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "grpc.h"
#include "grpcstream.h"
#include "http2.h"
#include "loadgen.h"
#include "round_trip.h"

#ifndef TENSOR_BYTES
#define TENSOR_BYTES 16
#endif
#ifndef REPLY_TIMEOUT_NS
#define REPLY_TIMEOUT_NS (500 * NS_PER_MS)
#endif
#ifndef LOOK_EVERY_NS
#define LOOK_EVERY_NS NS_PER_MS
#endif
#define OUTPUT_BYTES 4004

static const char suffix[] = "\r\n*6\r\n$11\r\nAI.MODELRUN\r\n$4\r\nnull\r\n$6\r\nINPUTS\r\n$1\r\na\r\n"
                             "$7\r\nOUTPUTS\r\n$1\r\nb\r\n"
                             "*3\r\n$12\r\nAI.TENSORGET\r\n$1\r\nb\r\n$4\r\nBLOB\r\n";

#define REPLY_JSON \
    "{\"id\": \"1\", \"model_name\": \"m\", \"model_version\": \"1\", \"outputs\": [{\"name\": \"y\", " \
    "\"datatype\": \"FP32\", \"shape\": [1, 1001], \"parameters\": {\"binary_data_size\": 4004}}]}"

static const struct http_plan http_plan = {
    .json = REPLY_JSON,
    .json_bytes = sizeof REPLY_JSON - 1,
    .outputs = {
        .count = 1,
        .all = {{"y", "FP32", TENSOR_FLOAT, {1, 1001}, 2, OUTPUT_BYTES}},
        .bytes = OUTPUT_BYTES,
    },
};
static const struct reply_plan resp_plan = {
    .count = 3,
    .expected = {{.type = REPLY_STATUS}, {.type = REPLY_STATUS}, {.type = REPLY_BULK, .bytes = OUTPUT_BYTES}},
};

static int fail(const char *why)
{
    fprintf(stderr, "driver: %s\n", why);
    return 1;
}

static uint64_t requests_in(const struct figures *figures)
{
    uint64_t count = figures->counters.successes;
    for (int kind = 0; kind < FAILURE_KINDS; kind++)
        count += figures->failures.kinds[kind].count;
    return count;
}

/* The request's text before its tensor, and its length; what is behind it is `*after`. */
static int resp_request(char *before, size_t room, const char **after)
{
    char values[16];
    int digits = snprintf(values, sizeof values, "%d", TENSOR_BYTES / 4);
    *after = suffix;
    return snprintf(before, room,
                    "*7\r\n$12\r\nAI.TENSORSET\r\n$1\r\na\r\n$5\r\nFLOAT\r\n$1\r\n1\r\n$%d\r\n%s\r\n"
                    "$4\r\nBLOB\r\n$%d\r\n",
                    digits, values, TENSOR_BYTES);
}

static int http_request(char *before, size_t room, const char **after)
{
    char json[256];
    int json_bytes = snprintf(json, sizeof json,
                              "{\"inputs\":[{\"name\":\"x\",\"shape\":[1,%d],\"datatype\":\"FP32\","
                              "\"parameters\":{\"binary_data_size\":%d}}]}",
                              TENSOR_BYTES / 4, TENSOR_BYTES);
    *after = "";
    return snprintf(before, room,
                    "POST /v2/models/m/infer HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                    "Inference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n%s",
                    json_bytes, json_bytes + TENSOR_BYTES, json);
}

static int tokens_request(char *before, size_t room, const char **after)
{
    *after = "";
    return snprintf(before, room, "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n",
                    TENSOR_BYTES);
}

static void put_field(char **to, const char *name, const char *value)
{
    size_t lengths[] = {strlen(name), strlen(value)};
    for (int i = 0; i < 2; i++) {
        *(*to)++ = (char)(lengths[i] & 0xff);
        *(*to)++ = (char)(lengths[i] >> 8);
    }
    *to = stpcpy(stpcpy(*to, name), value);
}

static char *put_varint(char *to, size_t number)
{
    for (; number > 0x7f; number >>= 7)
        *to++ = (char)((number & 0x7f) | 0x80);
    *to++ = (char)number;
    return to;
}

#define ID_AT 10 /* behind the prefix, the model's name and what precedes the id */

/* `id`: with its tag and length, or empty. */
static int infer_request(char *before, size_t room, const char *method, const char *id)
{
    char *at = before + 4, *prefix, *message, *input;
    put_field(&at, ":method", "POST");
    put_field(&at, ":scheme", "http");
    put_field(&at, ":authority", "127.0.0.1");
    put_field(&at, ":path", method);
    put_field(&at, "content-type", "application/grpc");
    put_field(&at, "te", "trailers");
    memcpy(before, &(uint32_t){(uint32_t)(at - before - 4)}, 4); /* on a little-endian machine */
    prefix = at;
    message = prefix + 5;
    at = stpcpy(stpcpy(stpcpy(message, "\x0a\x01m"), id), "\x2a"); /* and an input of so many bytes: */
    input = at + 1;
    at = stpcpy(input, "\x0a\x01x\x12\x04" "FP32\x1a"); /* its name, its datatype, and a shape of so many bytes: */
    char *shape = at + 1;
    *shape = 1;
    char *shape_end = put_varint(shape + 1, TENSOR_BYTES / 4);
    *at = (char)(shape_end - shape);
    *(input - 1) = (char)(shape_end - input);
    at = shape_end;
    *at++ = 0x3a; /* raw_input_contents */
    at = put_varint(at, TENSOR_BYTES);
    size_t bytes = (size_t)(at - message) + TENSOR_BYTES;
    *prefix = 0;
    for (int i = 1; i <= 4; i++)
        prefix[i] = (char)(bytes >> (32 - 8 * i));
    return at < before + room ? (int)(at - before) : -1;
}

static int grpc_request(char *before, size_t room, const char **after)
{
    *after = "";
    return infer_request(before, room, "/inference.GRPCInferenceService/ModelInfer", "");
}

static int stream_request(char *before, size_t room, const char **after)
{
    *after = "";
    return infer_request(before, room, "/inference.GRPCInferenceService/ModelStreamInfer", "\x1a\x10" "0000000000000000");
}

typedef int write_request(char *before, size_t room, const char **after);

struct spoken {
    const char *name;
    const struct protocol *protocol;
    write_request *request;
    size_t text_bytes;
};

int main(int argc, char **argv)
{
    static struct loadgen_snapshot snapshot;
    static struct part part;
    static struct request_kind kinds[KINDS_MAX];
    static char output[OUTPUT_BYTES];
    char before[512];
    const char *after;
    struct tensormap tensors;
    errstr_t errstr;
    uint64_t failures = 0, sampled = 0, parts = 0, tensor;
    uint32_t sampled_kind;
    size_t sample_bytes;
    int64_t latencies = 0, service_latencies = 0;
    if (argc == 1)
        return round_trip();
    if (argc != 11 && argc != 12)
        return fail("usage: PORT WORKERS THREADS REQUESTS TENSOR_FILE STOP_AFTER_MS "
                    "REQUESTS_PER_S PIPELINE KINDS PROTOCOL [CA_FILE]");
    const struct spoken all[] = {
        {"resp", &resp_protocol, resp_request, RESP_TEXT_BYTES},
        {"http", &http_protocol, http_request, 4096},
        {"grpc", &grpc_protocol, grpc_request, 256},
        {"stream", &grpc_stream_protocol, stream_request, 256},
        {"tokens", &tokenstream_protocol, tokens_request, 4096},
    };
    const struct spoken *spoken = all;
    while (strcmp(spoken->name, argv[10]) != 0)
        if (++spoken == all + sizeof all / sizeof all[0])
            return fail("the protocol is resp, http, grpc, stream or tokens");
    char greeting_bytes[HTTP2_GREETING_BYTES];
    struct greeting greeting = {greeting_bytes, http2_greeting(greeting_bytes), 1};
    struct tls_config trusted = {.ca_file = argv[11], .server_name = "127.0.0.1"};
    struct tls *tls = argc == 12 ? tls_create(&trusted, errstr) : NULL;
    if (argc == 12 && tls == NULL)
        return fail(errstr);
    uint32_t workers = (uint32_t)atoi(argv[2]);
    int64_t stop_after_ns = atoll(argv[6]) * NS_PER_MS;
    int mapped = strcmp(argv[5], "-") == 0
                     ? tensormap_generate(&tensors, 100, TENSOR_BYTES, TENSOR_FLOAT, 1, errstr)
                     : tensormap_open(&tensors, (const char **)&argv[5], 1, TENSOR_BYTES, errstr);
    if (mapped < 0)
        return fail(errstr);
    int before_bytes = spoken->request(before, sizeof before, &after);
    struct request_text *texts = calloc(2 * workers, sizeof *texts);
    for (uint32_t i = 0; i < workers; i++) {
        texts[2 * i] = (struct request_text){before, (size_t)before_bytes};
        texts[2 * i + 1] = (struct request_text){after, strlen(after)};
    }
    uint32_t kind_count = (uint32_t)atoi(argv[9]);
    bool is_grpc = spoken->request == grpc_request || spoken->request == stream_request;
    size_t output_bytes = spoken->protocol == &tokenstream_protocol ? 0 : OUTPUT_BYTES;
    for (uint32_t i = 0; i < kind_count; i++) {
        kinds[i] = (struct request_kind){
            .inputs = {&tensors},
            .input_count = 1,
            .texts = texts,
            .batch = 1,
            .output_bytes = output_bytes,
            .output_bytes_max = output_bytes,
            .text_bytes = spoken->text_bytes,
            .id_at = spoken->protocol == &grpc_stream_protocol ? ID_AT : 0,
            .weight = 1 + i,
        };
        if (spoken->protocol == &http_protocol)
            kinds[i].http = http_plan;
        else if (spoken->protocol == &tokenstream_protocol)
            kinds[i].tokens = (struct token_plan){.token_timeout_ns = 200 * NS_PER_MS};
        else if (is_grpc)
            kinds[i].grpc = http_plan.outputs;
        else
            kinds[i].plan = resp_plan;
    }
    double per_s = atof(argv[7]);
    struct schedule_segment segments[] = {
        {fabs(per_s), per_s < 0 ? 0 : per_s, per_s < 0 ? 0.1 : INFINITY, SCHEDULE_NO_STEP},
        {0, fabs(per_s), 1, 0},
    };
    struct endpoint server = {.host = "127.0.0.1", .port = atoi(argv[1]), .tls = tls};
    struct loadgen_config config = {
        .protocol = spoken->protocol,
        .greetings = is_grpc ? &greeting : NULL,
        .servers = &server,
        .server_count = 1,
        .kinds = kinds,
        .kind_count = kind_count,
        .workers = workers,
        .threads = (uint32_t)atoi(argv[3]),
        .pipeline = (uint32_t)atoi(argv[8]),
        .schedule = {.arrivals = per_s < 0 ? ARRIVALS_POISSON
                                 : per_s   ? ARRIVALS_EVEN
                                           : ARRIVALS_CLOSED_LOOP,
                     .segments = segments,
                     .segment_count = per_s < 0 ? 2 : 1},
        .step_count = per_s < 0,
        .burn_in_requests = per_s < 0 ? 0 : workers,
        .burn_in_ns = per_s < 0 ? 100 * NS_PER_MS : 0,
        .max_requests = strtoull(argv[4], NULL, 10),
        .max_lag_ns = per_s < 0 ? 100 * NS_PER_MS : 0,
        .shed_late = true,
        .reply_timeout_ns = REPLY_TIMEOUT_NS,
        .connect_timeout_ns = 5 * NS_PER_S,
    };
    struct loadgen *g = loadgen_create(&config, errstr);
    if (g == NULL)
        return fail(errstr);
    if (loadgen_start(g, 0, errstr) < 0)
        return fail(errstr);
    int64_t started_ns = monotonic_ns();
    loadgen_want_sample(g);
    while (!loadgen_wait(g, LOOK_EVERY_NS)) {
        loadgen_read(g, &snapshot); /* while the threads count */
        if (loadgen_take_sample(g, output, &sample_bytes, &sampled_kind, &tensor)) {
            sampled++;
            loadgen_want_sample(g);
        }
        if (stop_after_ns && monotonic_ns() - started_ns > stop_after_ns)
            loadgen_stop(g);
    }
    loadgen_read(g, &snapshot);
    const struct counted *counted = &snapshot.counted;
    const struct figures *measured = &counted->measured;
    for (int kind = 0; kind < FAILURE_KINDS; kind++)
        failures += measured->failures.kinds[kind].count + counted->burn_in.failures.kinds[kind].count;
    for (int i = 0; i < HISTOGRAM_COUNTS; i++) {
        latencies += measured->histograms.latencies.counts[i];
        service_latencies += measured->histograms.service_latencies.counts[i];
    }
    for (uint32_t i = 0; i < loadgen_parts(g); i++) {
        loadgen_read_part(g, i, &part);
        parts += requests_in(&part.figures);
    }
    printf("%llu %llu %llu %llu %lld %llu %lld %llu %llu %llu\n",
           (unsigned long long)counted->counters.requests,
           (unsigned long long)measured->counters.successes, (unsigned long long)failures,
           (unsigned long long)counted->counters.abandoned, (long long)latencies,
           (unsigned long long)sampled, (long long)service_latencies,
           (unsigned long long)measured->counters.late_starts,
           (unsigned long long)measured->counters.shed, (unsigned long long)parts);
    loadgen_free(g);
    if (tls != NULL)
        tls_free(tls);
    tensormap_close(&tensors);
    free(texts);
    return 0;
}
