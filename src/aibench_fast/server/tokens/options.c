#include "options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t offset;
    int is_text;
} OPTIONS[] = {
#define TEXT(option, field) {option, offsetof(struct options, field), 1}
#define NUMBER(option, field) {option, offsetof(struct options, field), 0}
    TEXT("--model", model),
    TEXT("--name", name),
    TEXT("--version", version),
    TEXT("--log", log),
    NUMBER("--port", port),
    NUMBER("--lifeline", lifeline),
    NUMBER("--prefill-ns", prefill_ns),
    NUMBER("--prefill-token-ns", prefill_token_ns),
    NUMBER("--decode-ns", decode_ns),
    NUMBER("--batch", batch),
    NUMBER("--output-tokens", output_tokens),
    NUMBER("--reasoning-tokens", reasoning_tokens),
    NUMBER("--events-per-write", events_per_write),
    NUMBER("--segments", segments),
    NUMBER("--stall-ns", stall_ns),
    NUMBER("--stall-period-ns", stall_period_ns),
    NUMBER("--fail-after", fail_after),
    NUMBER("--retry-after", retry_after_s),
    NUMBER("--seed", seed),
};

/* Read KIND:SHARE. */
static int failure_add(struct options *o, const char *value)
{
    if (o->failure_count == FAILURES_MAX)
        return -1;
    struct failure *failure = &o->failures[o->failure_count++];
    char *end;
    failure->kind = strtoll(value, &end, 10);
    if (*end != ':')
        return -1;
    failure->share = strtoll(end + 1, &end, 10);
    return *end ? -1 : 0;
}

static int option_set(struct options *o, const char *name, const char *value)
{
    if (strcmp(name, "--fail") == 0)
        return failure_add(o, value);
    for (size_t i = 0; i < sizeof(OPTIONS) / sizeof(*OPTIONS); i++) {
        if (strcmp(name, OPTIONS[i].name))
            continue;
        char *field = (char *)o + OPTIONS[i].offset;
        if (OPTIONS[i].is_text) {
            *(const char **)field = value;
            return 0;
        }
        char *end;
        errno = 0;
        *(int64_t *)field = strtoll(value, &end, 10);
        return errno || *end || end == value ? -1 : 0;
    }
    return -1;
}

int options_read(struct options *o, int count, char **words)
{
    *o = (struct options){.lifeline = -1,
                          .model = "simulated",
                          .name = "",
                          .version = "",
                          .output_tokens = 128,
                          .events_per_write = 1,
                          .segments = 1};
    for (int i = 1; i < count; i += 2) {
        if (i + 1 == count || option_set(o, words[i], words[i + 1]) < 0) {
            fprintf(stderr, "%s: no such option, or not with this value\n", words[i]);
            return -1;
        }
    }
    return 0;
}
