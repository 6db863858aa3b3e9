#include "failures.h"

#include <stdio.h>
#include <string.h>

#define FAILURE_NAME(constant, name) name,

const char *const failure_names[] = {FAILURE_LIST(FAILURE_NAME)};

enum failure_kind failure_of_http(int status)
{
    return status == 429   ? FAILURE_TOO_MANY_REQUESTS
           : status == 503 ? FAILURE_UNAVAILABLE
                           : FAILURE_ERROR_REPLY;
}

void failures_record(struct failures *f, enum failure_kind kind, const char *message,
                     int64_t now_ns)
{
    uint64_t before = atomic_load_explicit(&f->kinds[kind].count, memory_order_relaxed);
    if (before == 0) {
        f->kinds[kind].first_ns = now_ns;
        snprintf(f->kinds[kind].first_message, ERRSTR_BYTES, "%s", message);
    }
    atomic_store_explicit(&f->kinds[kind].count, before + 1, memory_order_release);
}

void failures_merge(struct failures *into, const struct failures *from)
{
    for (int kind = 0; kind < FAILURE_KINDS; kind++) {
        uint64_t count = atomic_load_explicit(&from->kinds[kind].count, memory_order_acquire);
        uint64_t before = atomic_load_explicit(&into->kinds[kind].count, memory_order_relaxed);
        if (count == 0)
            continue;
        if (before == 0 || from->kinds[kind].first_ns < into->kinds[kind].first_ns) {
            into->kinds[kind].first_ns = from->kinds[kind].first_ns;
            memcpy(into->kinds[kind].first_message, from->kinds[kind].first_message, ERRSTR_BYTES);
        }
        atomic_store_explicit(&into->kinds[kind].count, before + count, memory_order_relaxed);
    }
}
