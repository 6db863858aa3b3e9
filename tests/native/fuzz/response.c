#include "response.h"

#include <string.h>

#define ROWS_MAX 4 /* of an output of any length */
#define PART_BYTES_MAX 1024

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

#define Y {"y", "FP32", TENSOR_FLOAT, {2, 2}, 2, 16}
#define Z {"z", "INT8", TENSOR_INT8, {3}, 1, 3}
#define WIDE {"w", "FP64", TENSOR_DOUBLE, {1, 2}, 2, 16}
#define OPEN {"y", "FP32", TENSOR_FLOAT, {OIP_ANY_LENGTH, 2}, 2, 16}
#define LABELS {"s", "BYTES", TENSOR_STRINGS, {2}, 1, 11}

const struct request_kind response_kinds[] = {
    {.grpc = {.count = 1, .all = {Y}, .bytes = 16},
     .output_bytes = 16, .output_bytes_max = 16, .text_bytes = 256},
    {.grpc = {.count = 2, .all = {Z, WIDE}, .bytes = 19},
     .output_bytes = 19, .output_bytes_max = 19, .text_bytes = 256},
    {.grpc = {.count = 1, .all = {Z}, .bytes = 3},
     .output_bytes = 3, .output_bytes_max = 3, .text_bytes = 256},
    {.grpc = {.count = 1, .all = {OPEN}, .bytes = 16},
     .output_bytes = 16, .output_bytes_max = ROWS_MAX * 8, .text_bytes = 256},
    {.grpc = {.count = 1, .all = {LABELS}, .bytes = 11, .has_strings = true},
     .output_bytes = 11, .output_bytes_max = 64, .text_bytes = 256},
};

static bool one_in(uint64_t *state, uint64_t many)
{
    return fuzz_below(state, many) == 0;
}

static void add_varint(struct fuzz_text *to, uint64_t number)
{
    for (; number > 0x7f; number >>= 7)
        fuzz_add(to, &(char){(char)(number | 0x80)}, 1);
    fuzz_add(to, &(char){(char)number}, 1);
}

static void add_tag(struct fuzz_text *to, uint32_t field, uint32_t type)
{
    add_varint(to, field << 3 | type);
}

static void add_part(struct fuzz_text *to, uint32_t field, const struct fuzz_text *part)
{
    add_tag(to, field, BYTES);
    add_varint(to, part->count);
    fuzz_add(to, part->bytes, part->count);
}

static void add_text(struct fuzz_text *to, uint32_t field, const char *text)
{
    add_part(to, field, &(struct fuzz_text){(char *)text, strlen(text), strlen(text)});
}

static void add_random(struct fuzz_text *to, size_t count, uint64_t *state)
{
    for (; count > 0; count--)
        fuzz_add(to, &(char){(char)fuzz_below(state, 256)}, 1);
}

static void add_unknown(struct fuzz_text *to, uint64_t *state)
{
    static const uint32_t types[] = {VARINT, FIXED64, BYTES, FIXED32};
    uint32_t type = types[fuzz_below(state, 4)];
    add_tag(to, 20 + (uint32_t)fuzz_below(state, 1000), type);
    if (type == VARINT || type == BYTES)
        add_varint(to, fuzz_below(state, 8));
    add_random(to, type == FIXED64 ? 8 : type == FIXED32 ? 4 : 0, state);
}

/* The values, in binary or as fields of contents. */
static void add_values(struct fuzz_text *to, const struct oip_output *output, size_t count, bool typed, uint64_t *state)
{
    char room[PART_BYTES_MAX];
    struct fuzz_text packed = {room, sizeof room, 0};
    size_t value_bytes = tensordata_value_bytes(output->dtype);
    for (size_t i = 0; i < count; i++)
        if (output->dtype == TENSOR_STRINGS) {
            uint32_t length = (uint32_t)fuzz_below(state, 4);
            if (typed)
                add_tag(to, 8, BYTES);
            fuzz_add(to, &length, typed ? 1 : sizeof length);
            add_random(to, length, state);
        } else if (!typed) {
            add_random(to, value_bytes, state);
        } else if (output->dtype == TENSOR_INT8) {
            add_varint(&packed, (uint64_t)((int64_t)fuzz_below(state, 258) - 129));
        } else {
            add_random(&packed, value_bytes, state);
        }
    if (packed.count > 0)
        add_part(to, output->dtype == TENSOR_INT8 ? 2 : output->dtype == TENSOR_FLOAT ? 6 : 7, &packed);
}

static void add_shape(struct fuzz_text *to, const int64_t *shape, size_t dimensions, uint64_t *state)
{
    char room[PART_BYTES_MAX];
    struct fuzz_text packed = {room, sizeof room, 0};
    bool is_packed = !one_in(state, 4);
    for (size_t i = 0; i < dimensions; i++) {
        if (!is_packed)
            add_tag(to, 3, VARINT);
        add_varint(is_packed ? &packed : to, (uint64_t)shape[i]);
    }
    if (is_packed)
        add_part(to, 3, &packed);
}

static void add_output(struct fuzz_text *to, struct fuzz_text *raw, const struct oip_output *output, bool typed,
                       uint64_t *state)
{
    char output_room[PART_BYTES_MAX], values_room[PART_BYTES_MAX];
    struct fuzz_text made = {output_room, sizeof output_room, 0}, values = {values_room, sizeof values_room, 0};
    int64_t shape[OIP_DIMENSIONS_MAX];
    size_t count = 1;
    for (size_t i = 0; i < output->dimensions; i++) {
        shape[i] = output->shape[i] == OIP_ANY_LENGTH ? (int64_t)fuzz_below(state, ROWS_MAX + 2) : output->shape[i];
        if (one_in(state, 64))
            shape[i] = (int64_t)splitmix_next(state);
        count *= shape[i] >= 0 && shape[i] < 16 ? (size_t)shape[i] : 1;
    }
    add_values(&values, output, one_in(state, 32) ? count + 1 : count, typed, state);
    if (one_in(state, 8))
        add_unknown(&made, state);
    add_text(&made, 1, one_in(state, 32) ? "x" : output->name);
    add_text(&made, 2, one_in(state, 32) ? "FP16" : output->datatype);
    add_shape(&made, shape, output->dimensions, state);
    if (typed)
        add_part(&made, 5, &values);
    else
        add_part(raw, 6, &values);
    add_part(to, 5, &made);
}

void response_add(struct fuzz_text *to, const struct request_kind *kind, uint64_t *state)
{
    char raw_room[PART_BYTES_MAX];
    struct fuzz_text raw = {raw_room, sizeof raw_room, 0};
    bool typed = one_in(state, 2), raw_first = one_in(state, 4);
    add_text(to, 1, "m");
    if (one_in(state, 4))
        add_unknown(to, state);
    size_t at = to->count;
    for (size_t i = 0; i < kind->grpc.count; i++)
        add_output(to, &raw, &kind->grpc.all[i], typed, state);
    if (raw_first && to->count + raw.count <= to->room) {
        memmove(to->bytes + at + raw.count, to->bytes + at, to->count - at);
        memcpy(to->bytes + at, raw.bytes, raw.count);
        to->count += raw.count;
    } else {
        fuzz_add(to, raw.bytes, raw.count);
    }
}

/* Return whether all bytes of an output are among those that came, in their order. */
static bool has_in_order(const char *bytes, size_t count, const char *output, size_t wanted)
{
    size_t found = 0;
    for (size_t i = 0; i < count && found < wanted; i++)
        found += bytes[i] == output[found];
    return found == wanted;
}

void response_check(const struct request_kind *kind, const struct replycheck *check, const char *message, size_t bytes,
                    const char *output)
{
    const struct oip_output *first = &kind->grpc.all[0];
    size_t value_bytes = tensordata_value_bytes(first->dtype);
    FUZZ_CHECK(check->first_bytes <= kind->output_bytes_max, "a success of more than there is room for");
    FUZZ_CHECK(first->dtype == TENSOR_STRINGS || check->first_bytes % value_bytes == 0, "a success of half a value");
    for (size_t i = 0; i < kind->grpc.count; i++)
        FUZZ_CHECK(memmem(message, bytes, kind->grpc.all[i].name, 1), "a success without an output");
    /* Integers in contents have another form than in binary, and strings too. */
    if (output != NULL && first->dtype == TENSOR_FLOAT)
        FUZZ_CHECK(has_in_order(message, bytes, output, check->first_bytes), "an output is not what came");
}
