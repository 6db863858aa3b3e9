#include "oipmessage.h"

#include <limits.h>
#include <string.h>

#include "kind.h"
#include "oip.h"
#include "stringdata.h"
#include "wire.h"

/* The numbers of the fields that are read. */
enum { RESPONSE_OUTPUTS = 5, RESPONSE_RAW = 6 };
enum { OUTPUT_NAME = 1, OUTPUT_DATATYPE = 2, OUTPUT_SHAPE = 3, OUTPUT_CONTENTS = 5 };
enum {
    CONTENTS_NONE = 0, /* for datatypes that only come raw */
    CONTENTS_BOOL = 1,
    CONTENTS_INT = 2,
    CONTENTS_INT64 = 3,
    CONTENTS_UINT = 4,
    CONTENTS_UINT64 = 5,
    CONTENTS_FP32 = 6,
    CONTENTS_FP64 = 7,
    CONTENTS_BYTES = 8
};

/* A message, taken apart: its outputs, each a message, and their raw values. Of more than there is room for, only the
 * number is known. */
struct response {
    size_t output_count;
    size_t raw_count;
    struct wire outputs[OIP_OUTPUTS_MAX];
    struct wire raw[OIP_OUTPUTS_MAX];
};

/* The values of typed contents, as they are converted to binary. */
struct values {
    enum tensor_dtype dtype;
    size_t value_bytes;
    char *out;   /* or NULL */
    size_t room; /* bytes there */
    size_t bytes;
    uint64_t count;
    bool are_wrong; /* one is not of the datatype */
};

static void malformed(struct wire *w, const char *why)
{
    if (w->why == NULL)
        w->why = why;
    w->at = w->end;
}

static bool is_bytes(struct wire *w, const struct wire_field *field)
{
    if (field->type != WIRE_BYTES)
        malformed(w, "a field is of another type than it has to be");
    return field->type == WIRE_BYTES;
}

/* Return whether the message is well-formed; if not, that is noted. */
static bool is_sound(struct replycheck *check, const struct wire *w)
{
    if (w->why != NULL)
        replycheck_fail(check, FAILURE_WRONG_REPLY, "the reply is not a ModelInferResponse: %s", w->why);
    return w->why == NULL;
}

static void keep(struct wire *kept, size_t *count, const struct wire_field *field)
{
    if (*count < OIP_OUTPUTS_MAX)
        kept[*count] = field->bytes;
    ++*count;
}

static void read_response(struct wire *message, struct response *response)
{
    struct wire_field field;
    response->output_count = response->raw_count = 0;
    while (wire_next(message, &field))
        if (field.number == RESPONSE_OUTPUTS && is_bytes(message, &field))
            keep(response->outputs, &response->output_count, &field);
        else if (field.number == RESPONSE_RAW && is_bytes(message, &field))
            keep(response->raw, &response->raw_count, &field);
}

static void add_length(struct oip_found *found, uint64_t length)
{
    if (found->dimensions < OIP_DIMENSIONS_MAX)
        found->shape[found->dimensions] = (int64_t)length;
    found->dimensions++;
}

/* Read lengths of a shape: one, or several that are packed. */
static void read_lengths(struct wire *output, struct wire_field *field, struct oip_found *found)
{
    uint64_t length;
    if (field->type == WIRE_VARINT) {
        add_length(found, field->value);
    } else if (is_bytes(output, field)) {
        while (wire_varint(&field->bytes, &length))
            add_length(found, length);
        if (field->bytes.why)
            malformed(output, field->bytes.why);
    }
}

/* Read everything but the values. Of a field that comes twice the last one counts, and a shape goes on. */
static void read_output(struct wire *output, struct oip_found *found)
{
    struct wire_field field;
    *found = (struct oip_found){0};
    while (wire_next(output, &field))
        if (field.number == OUTPUT_NAME && is_bytes(output, &field)) {
            found->name = field.bytes.at;
            found->name_bytes = wire_left(&field.bytes);
        } else if (field.number == OUTPUT_DATATYPE && is_bytes(output, &field)) {
            found->datatype = field.bytes.at;
            found->datatype_bytes = wire_left(&field.bytes);
        } else if (field.number == OUTPUT_SHAPE) {
            read_lengths(output, &field, found);
        }
}

static uint32_t contents_of(enum tensor_dtype dtype)
{
    switch (dtype) {
    case TENSOR_BOOL: return CONTENTS_BOOL;
    case TENSOR_INT8:
    case TENSOR_INT16:
    case TENSOR_INT32: return CONTENTS_INT;
    case TENSOR_INT64: return CONTENTS_INT64;
    case TENSOR_UINT8:
    case TENSOR_UINT16:
    case TENSOR_UINT32: return CONTENTS_UINT;
    case TENSOR_UINT64: return CONTENTS_UINT64;
    case TENSOR_FLOAT: return CONTENTS_FP32;
    case TENSOR_DOUBLE: return CONTENTS_FP64;
    case TENSOR_STRINGS: return CONTENTS_BYTES;
    case TENSOR_FP16:
    case TENSOR_BF16: break;
    }
    return CONTENTS_NONE;
}

/* Return where the next `bytes` go, which are counted; NULL: nowhere. */
static char *place_of(struct values *v, size_t bytes)
{
    size_t begin = v->bytes;
    v->bytes += bytes;
    return v->out != NULL && v->bytes <= v->room ? v->out + begin : NULL;
}

static void add_number(struct values *v, uint64_t number)
{
    unsigned bits = (unsigned)v->value_bytes * CHAR_BIT;
    uint32_t contents = contents_of(v->dtype);
    char *to = place_of(v, v->value_bytes);
    v->count++;
    if (contents == CONTENTS_BOOL)
        number = number != 0;
    else if (contents == CONTENTS_INT) /* negative ones have 64 bits on the wire */
        v->are_wrong |= (int32_t)number != (int32_t)((uint32_t)number << (32 - bits)) >> (32 - bits);
    else if (contents == CONTENTS_UINT)
        v->are_wrong |= bits < 32 && (uint32_t)number >> bits != 0;
    if (to != NULL)
        memcpy(to, &number, v->value_bytes);
}

static void add_floats(struct wire *contents, struct values *v, const struct wire *bytes)
{
    size_t count = wire_left(bytes);
    char *to = place_of(v, count);
    v->count += count / v->value_bytes;
    if (count % v->value_bytes != 0)
        malformed(contents, "a number is cut off");
    else if (to != NULL)
        memcpy(to, bytes->at, count);
}

static void add_string(struct values *v, const struct wire *bytes)
{
    size_t count = wire_left(bytes);
    char *to = place_of(v, STRING_LENGTH_BYTES + count);
    v->count++;
    if (to != NULL)
        stringdata_put(to, bytes->at, count);
}

/* Add the values of a field that is of their datatype: one, or several that are packed. */
static void add_values(struct wire *contents, struct values *v, struct wire_field *field)
{
    enum wire_type single = v->dtype == TENSOR_STRINGS  ? WIRE_BYTES
                            : v->dtype == TENSOR_FLOAT  ? WIRE_FIXED32
                            : v->dtype == TENSOR_DOUBLE ? WIRE_FIXED64
                                                        : WIRE_VARINT;
    uint64_t number;
    if (field->type != single && !is_bytes(contents, field))
        return;
    if (single == WIRE_BYTES) {
        add_string(v, &field->bytes);
    } else if (single != WIRE_VARINT) {
        add_floats(contents, v, &field->bytes);
    } else if (field->type == WIRE_VARINT) {
        add_number(v, field->value);
    } else {
        while (wire_varint(&field->bytes, &number))
            add_number(v, number);
        if (field->bytes.why)
            malformed(contents, field->bytes.why);
    }
}

static void read_contents(struct wire *contents, struct values *v)
{
    struct wire_field field;
    uint32_t wanted = contents_of(v->dtype);
    while (wire_next(contents, &field))
        if (field.number == wanted)
            add_values(contents, v, &field);
        else if (field.number <= CONTENTS_BYTES)
            v->are_wrong |= field.type != WIRE_BYTES || wire_left(&field.bytes) > 0;
}

/* Judge the typed contents of an output that starts at byte `place` of all outputs, and has to have so many values.
 * Return where it ends. */
static size_t judge_contents(struct replycheck *check, struct wire output, const struct oip_output *wanted,
                             size_t expected, size_t place)
{
    struct wire_field field;
    struct values v = {
        .dtype = wanted->dtype,
        .value_bytes = tensordata_value_bytes(wanted->dtype),
        .out = check->output ? check->output + place : NULL,
        .room = check->expected->output_bytes_max - place,
    };
    while (wire_next(&output, &field))
        if (field.number == OUTPUT_CONTENTS && is_bytes(&output, &field)) {
            read_contents(&field.bytes, &v);
            if (field.bytes.why)
                malformed(&output, field.bytes.why);
        }
    if (!is_sound(check, &output))
        return place;
    if (v.are_wrong)
        oip_wrong_value(check, wanted);
    else if (v.count != expected)
        oip_wrong_count(check, wanted, v.count, expected);
    else if (v.bytes > v.room)
        oip_too_large(check, wanted, v.room);
    return place + v.bytes;
}

/* The same for raw values. */
static size_t judge_raw(struct replycheck *check, const struct wire *raw, const struct oip_output *wanted,
                        size_t expected, size_t place)
{
    size_t bytes = wire_left(raw), room = check->expected->output_bytes_max - place;
    size_t wanted_bytes = expected * tensordata_value_bytes(wanted->dtype);
    int64_t strings = wanted->dtype == TENSOR_STRINGS ? stringdata_count(raw->at, bytes) : 0;
    if (strings < 0)
        oip_broken_string(check, wanted);
    else if (wanted->dtype == TENSOR_STRINGS && (size_t)strings != expected)
        oip_wrong_count(check, wanted, (uint64_t)strings, expected);
    else if (wanted->dtype != TENSOR_STRINGS && bytes != wanted_bytes)
        oip_wrong_size(check, wanted, bytes, wanted_bytes);
    else if (bytes > room)
        oip_too_large(check, wanted, room);
    else if (check->output != NULL && bytes > 0)
        memcpy(check->output + place, raw->at, bytes);
    return place + bytes;
}

/* Judge an output; return where it ends by its own shape. `raw`: its values, or NULL if they are typed. */
static size_t judge_output(struct replycheck *check, struct wire output, const struct wire *raw,
                           const struct oip_output *wanted, size_t place)
{
    struct oip_found found;
    struct wire head = output;
    size_t expected;
    read_output(&head, &found);
    if (!is_sound(check, &head) ||
        !oip_judge_found(check, wanted, &found, check->expected->output_bytes_max - place, &expected))
        return place;
    if (check->expected->grpc.in_memory) {
        if (raw == NULL || wire_left(raw) > 0)
            oip_unwanted_values(check, wanted);
        return place + expected * tensordata_value_bytes(wanted->dtype);
    }
    return raw ? judge_raw(check, raw, wanted, expected, place)
               : judge_contents(check, output, wanted, expected, place);
}

void oipmessage_judge(struct replycheck *check, const char *message, size_t bytes)
{
    const struct oip_outputs *wanted = &check->expected->grpc;
    struct wire whole = wire_of(message, bytes);
    struct response response;
    size_t end = 0;
    read_response(&whole, &response);
    if (!is_sound(check, &whole))
        return;
    if (response.output_count != wanted->count)
        oip_wrong_outputs(check, wanted, response.output_count);
    else if (response.raw_count > 0 && response.raw_count != wanted->count)
        replycheck_fail(check, FAILURE_WRONG_REPLY, "%zu outputs, and the raw values of %zu", wanted->count,
                        response.raw_count);
    for (size_t i = 0; i < wanted->count && check->kind == FAILURE_NONE; i++) {
        end = judge_output(check, response.outputs[i], response.raw_count ? &response.raw[i] : NULL,
                           &wanted->all[i], end);
        if (i == 0)
            check->first_bytes = end;
    }
}
