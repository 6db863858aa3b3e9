#include "parts.h"

#define DIMENSION_NAME(constant, name) name,

const char *const dimension_names[] = {DIMENSION_LIST(DIMENSION_NAME)};

void parts_lay_out(struct parts *parts, const uint32_t *counts)
{
    parts->total = 0;
    for (int dimension = 0; dimension < DIMENSIONS; dimension++) {
        parts->counts[dimension] = counts[dimension];
        parts->firsts[dimension] = parts->total;
        parts->total += counts[dimension];
    }
}

enum dimension parts_dimension(const struct parts *parts, uint32_t place)
{
    int dimension = DIMENSIONS - 1;
    while (place < parts->firsts[dimension])
        dimension--;
    return (enum dimension)dimension;
}
