#include "wire.h"

#define VARINT_BITS 7
#define VARINT_LAST_SHIFT 63 /* of a tenth byte, which has the last bit of 64 */
#define TYPE_BITS 3

static bool malformed(struct wire *w, const char *why)
{
    w->why = why;
    w->at = w->end;
    return false;
}

static bool read_varint(struct wire *w, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift <= VARINT_LAST_SHIFT; shift += VARINT_BITS) {
        if (w->at == w->end)
            return malformed(w, "a number is cut off");
        uint64_t byte = (unsigned char)*w->at++;
        if (shift == VARINT_LAST_SHIFT && byte > 1)
            break;
        *value |= (byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return malformed(w, "a number has more than 64 bits");
}

bool wire_varint(struct wire *w, uint64_t *value)
{
    return w->at < w->end && read_varint(w, value);
}

static bool take(struct wire *w, uint64_t bytes, struct wire *taken)
{
    if (bytes > wire_left(w))
        return malformed(w, "a field reaches beyond the end");
    *taken = wire_of(w->at, (size_t)bytes);
    w->at += bytes;
    return true;
}

bool wire_next(struct wire *w, struct wire_field *field)
{
    uint64_t tag, bytes;
    if (!wire_varint(w, &tag))
        return false;
    if (tag > UINT32_MAX || tag >> TYPE_BITS == 0)
        return malformed(w, "a field has an impossible number");
    field->number = (uint32_t)(tag >> TYPE_BITS);
    field->type = tag & ((1 << TYPE_BITS) - 1);
    switch (field->type) {
    case WIRE_VARINT: return read_varint(w, &field->value);
    case WIRE_FIXED64: return take(w, sizeof(uint64_t), &field->bytes);
    case WIRE_BYTES: return read_varint(w, &bytes) && take(w, bytes, &field->bytes);
    case WIRE_FIXED32: return take(w, sizeof(uint32_t), &field->bytes);
    }
    return malformed(w, "a field has an impossible type"); /* or the group of an older protobuf */
}
