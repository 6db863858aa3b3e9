/* Tensors as JSON text, formatted before a run. Each text is a comma and the values with commas between them, so that
 * the texts of a batch make an array. Spaces at the end make all texts equally long.
 *
 * A float is written as the shortest decimal that reads back as the same float.
 * Memory: jsontensors_open allocates, jsontensors_close frees; jsontensors_finish gives the text to a tensormap.
 * Units: bytes. Return codes: 0, or -1 with the reason in `errstr`.
 * Threads: one at a time.
 */
#ifndef AIBENCH_JSONTENSORS_H
#define AIBENCH_JSONTENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "errstr.h"
#include "tensordata.h"
#include "tensormap.h"

struct jsontensors {
    char *base;          /* room for each text; pages without text stay untouched */
    size_t room_bytes;
    uint64_t most;
    uint64_t count;      /* formatted so far */
    size_t *texts_bytes; /* of each */
    size_t text_bytes;   /* of the longest */
    enum tensor_dtype dtype; /* never TENSOR_BF16, which has no form in JSON, nor TENSOR_STRINGS */
    size_t tensor_bytes;     /* in binary */
};

/* Reserve room for the text of at most `most` tensors. */
int jsontensors_open(struct jsontensors *j, enum tensor_dtype dtype, size_t tensor_bytes,
                     uint64_t most, errstr_t errstr);

/* Format one more tensor, aligned for its values. -1 also if JSON cannot express a value (infinity, NaN). */
int jsontensors_add(struct jsontensors *j, const char *tensor, errstr_t errstr);

/* Move the first `count` texts, at least 1, to a map, which owns them from then on. Nothing can be added after. */
void jsontensors_finish(struct jsontensors *j, uint64_t count, struct tensormap *map);

void jsontensors_close(struct jsontensors *j);

#endif
