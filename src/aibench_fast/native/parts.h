/* The parts of a run's requests that have figures of their own, beside the whole: one part for each number in each
 * dimension. Each I/O thread has one array of figures for all parts.
 *
 * Memory: the caller's. Threads: the layout is made before the threads start, and read-only from then on.
 */
#ifndef AIBENCH_PARTS_H
#define AIBENCH_PARTS_H

#include <stdint.h>

/* A new dimension needs its line here, its count in loadgen_create, and its number in counting.c. */
#define DIMENSION_LIST(X)                                                                                    \
    X(DIMENSION_KIND, "kind")     /* of a mix, by its place among the kinds */                              \
    X(DIMENSION_SERVER, "server") /* of several, by its place among the servers */                          \
    X(DIMENSION_STEP, "step")     /* of a schedule, by its number */

#define DIMENSION_CONSTANT(constant, name) constant,

enum dimension { DIMENSION_LIST(DIMENSION_CONSTANT) DIMENSIONS };

extern const char *const dimension_names[DIMENSIONS]; /* in the order of the list */

/* The layout of the array: dimension by dimension. */
struct parts {
    uint32_t counts[DIMENSIONS]; /* 0: the dimension has no parts */
    uint32_t firsts[DIMENSIONS]; /* where each dimension begins */
    uint32_t total;
};

#define PARTS_NONE UINT32_MAX

/* Lay out the array; `counts` has the number of parts of each dimension. */
void parts_lay_out(struct parts *parts, const uint32_t *counts);

/* Return the place of a part in the array; PARTS_NONE if there is no such part. */
static inline uint32_t parts_place(const struct parts *parts, enum dimension dimension, uint32_t number)
{
    return number < parts->counts[dimension] ? parts->firsts[dimension] + number : PARTS_NONE;
}

/* Return the dimension of the part at `place`, which is below the total. */
enum dimension parts_dimension(const struct parts *parts, uint32_t place);

#endif
