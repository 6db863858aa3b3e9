/* Reads the wire format of protocol buffers, field by field. Nothing is copied or allocated.
 *
 * Memory: the caller's; the bytes of a field lie in its message. Units: bytes.
 * Return codes: false at the end of a message, and if it is malformed; then `why` says so.
 * Threads: any number, each with a wire of its own.
 */
#ifndef AIBENCH_WIRE_H
#define AIBENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2, /* a string, a message, or packed numbers */
    WIRE_FIXED32 = 5
};

/* What is left of a message. */
struct wire {
    const char *at;
    const char *end;
    const char *why; /* what is malformed; NULL: nothing so far */
};

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;    /* of a varint */
    struct wire bytes; /* the content of any other */
};

static inline struct wire wire_of(const char *message, size_t bytes)
{
    return (struct wire){message, message + bytes, NULL};
}

static inline size_t wire_left(const struct wire *w)
{
    return (size_t)(w->end - w->at);
}

/* Read the next field, of any number. */
bool wire_next(struct wire *w, struct wire_field *field);

/* Read a number of a packed field. */
bool wire_varint(struct wire *w, uint64_t *value);

#endif
