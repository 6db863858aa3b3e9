/* Tensors as JSON text, formatted before a run: each is a comma and its values with commas between, so that
 * those of a batch follow each other in an array, and ends in as many spaces as make all equally long.
 *
 * A float is the shortest decimal that is nearest to it in its own precision.
 * Memory: jsontensors_open allocates, jsontensors_close frees; jsontensors_finish hands the text to a
 * tensormap. Units: bytes. Returns 0, or -1 with the reason in `errstr`.
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
    char *base;          /* a room for each text, of which memory is used as far as there is text */
    size_t room_bytes;
    uint64_t most;
    uint64_t count;      /* formatted so far */
    size_t *texts_bytes; /* of each */
    size_t text_bytes;   /* of the longest */
    enum tensor_dtype dtype; /* never TENSOR_BF16, which has no form in JSON, nor TENSOR_STRINGS */
    size_t tensor_bytes;     /* in binary */
};

/* Make room for the text of at most `most` tensors. */
int jsontensors_open(struct jsontensors *j, enum tensor_dtype dtype, size_t tensor_bytes,
                     uint64_t most, errstr_t errstr);

/* Format one more, which is aligned for its values; -1 too where one is none that JSON has. */
int jsontensors_add(struct jsontensors *j, const char *tensor, errstr_t errstr);

/* Make a map of the first `count` texts, 1 or more, which are then its own; nothing is added any more. */
void jsontensors_finish(struct jsontensors *j, uint64_t count, struct tensormap *map);

void jsontensors_close(struct jsontensors *j);

#endif
