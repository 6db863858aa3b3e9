#include "oip.h"

#include <stdio.h>
#include <string.h>

#define SHOWN_BYTES 100 /* of a name, in a message */

/* Return whether a shape equals the expected one, except for open axes. If so, `*values` is the number of values, or
 * SIZE_MAX where no size has room for it. */
static bool shape_fits(const struct oip_output *wanted, const struct oip_found *found, size_t *values)
{
    *values = 1;
    if (found->odd_shape != NULL || found->dimensions != wanted->dimensions)
        return false;
    for (size_t i = 0; i < wanted->dimensions; i++) {
        int64_t length = found->shape[i];
        if (length < 0 || (wanted->shape[i] != OIP_ANY_LENGTH && wanted->shape[i] != length))
            return false;
        if (__builtin_mul_overflow(*values, (size_t)length, values))
            *values = SIZE_MAX;
    }
    return true;
}

/* Write a shape as text; `open` stands for an open axis, which only an expected one has. */
static const char *shape_text(const int64_t *shape, size_t dimensions, const char *open, errstr_t text)
{
    size_t used = 0, shown = dimensions < OIP_DIMENSIONS_MAX ? dimensions : OIP_DIMENSIONS_MAX;
    text[0] = '\0';
    for (size_t i = 0; i < shown && used < ERRSTR_BYTES; i++) {
        const char *comma = i ? "," : "";
        if (open != NULL && shape[i] == OIP_ANY_LENGTH)
            used += (size_t)snprintf(text + used, ERRSTR_BYTES - used, "%s%s", comma, open);
        else
            used += (size_t)snprintf(text + used, ERRSTR_BYTES - used, "%s%lld", comma, (long long)shape[i]);
    }
    if (shown < dimensions && used < ERRSTR_BYTES)
        snprintf(text + used, ERRSTR_BYTES - used, ",...");
    return text;
}

static void wrong_shape(struct replycheck *check, const struct oip_output *wanted, const struct oip_found *found)
{
    errstr_t expected, has;
    shape_text(wanted->shape, wanted->dimensions, "any", expected);
    if (found->odd_shape != NULL)
        replycheck_fail(check, FAILURE_WRONG_SIZE, "output %.100s has the shape %.60s, expected [%.60s]", wanted->name,
                        found->odd_shape, expected);
    else
        replycheck_fail(check, FAILURE_WRONG_SIZE, "output %.100s has the shape [%.60s], expected [%.60s]",
                        wanted->name, shape_text(found->shape, found->dimensions, NULL, has), expected);
}

static bool is_text(const char *text, size_t bytes, const char *wanted)
{
    return bytes == strlen(wanted) && (bytes == 0 || memcmp(text, wanted, bytes) == 0);
}

static int shown(size_t bytes)
{
    return bytes < SHOWN_BYTES ? (int)bytes : SHOWN_BYTES;
}

bool oip_judge_found(struct replycheck *check, const struct oip_output *wanted, const struct oip_found *found,
                     size_t room, size_t *values)
{
    if (!is_text(found->name, found->name_bytes, wanted->name))
        replycheck_fail(check, FAILURE_WRONG_REPLY, "found output %.*s, expected %.100s",
                        found->name_bytes ? shown(found->name_bytes) : SHOWN_BYTES,
                        found->name_bytes ? found->name : "without a name", wanted->name);
    else if (!is_text(found->datatype, found->datatype_bytes, wanted->datatype))
        replycheck_fail(check, FAILURE_WRONG_REPLY, "output %.100s is of %.*s, expected %.20s", wanted->name,
                        found->datatype_bytes ? shown(found->datatype_bytes) : SHOWN_BYTES,
                        found->datatype_bytes ? found->datatype : "no datatype", wanted->datatype);
    else if (!shape_fits(wanted, found, values))
        wrong_shape(check, wanted, found);
    else if (*values > room / tensordata_value_bytes(wanted->dtype))
        oip_too_large(check, wanted, room);
    else
        return true;
    return false;
}

void oip_too_large(struct replycheck *check, const struct oip_output *wanted, size_t room)
{
    replycheck_fail(check, FAILURE_WRONG_SIZE, "output %.100s has over %zu bytes", wanted->name, room);
}

void oip_wrong_outputs(struct replycheck *check, const struct oip_outputs *wanted, size_t count)
{
    replycheck_fail(check, FAILURE_WRONG_REPLY, "%zu outputs, expected %zu", count, wanted->count);
}

void oip_wrong_size(struct replycheck *check, const struct oip_output *wanted, uint64_t bytes, size_t expected)
{
    replycheck_fail(check, FAILURE_WRONG_SIZE, "output %.100s has %llu bytes, expected %zu", wanted->name,
                    (unsigned long long)bytes, expected);
}

void oip_wrong_count(struct replycheck *check, const struct oip_output *wanted, uint64_t count, size_t expected)
{
    replycheck_fail(check, FAILURE_WRONG_SIZE, "output %.100s has %llu values, expected %zu", wanted->name,
                    (unsigned long long)count, expected);
}

void oip_wrong_value(struct replycheck *check, const struct oip_output *wanted)
{
    replycheck_fail(check, FAILURE_WRONG_REPLY, "output %.100s has a value that is not %s", wanted->name,
                    wanted->datatype);
}

void oip_unwanted_values(struct replycheck *check, const struct oip_output *wanted)
{
    replycheck_fail(check, FAILURE_WRONG_REPLY, "output %.100s has values, which were requested in shared memory",
                    wanted->name);
}

void oip_broken_string(struct replycheck *check, const struct oip_output *wanted)
{
    replycheck_fail(check, FAILURE_WRONG_SIZE, "output %.100s has a string that reaches beyond its end", wanted->name);
}
