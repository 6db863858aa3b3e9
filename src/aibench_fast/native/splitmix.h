/* SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014,
 * with the constants of Vigna's public-domain splitmix64.c. A seed gives the same numbers on every
 * machine.
 *
 * Memory: a state is one word, the caller's. Threads: one at a time uses a state.
 */
#ifndef AIBENCH_SPLITMIX_H
#define AIBENCH_SPLITMIX_H

#include <stdint.h>

#define SPLITMIX_GAMMA 0x9e3779b97f4a7c15u

static inline uint64_t splitmix_next(uint64_t *state)
{
    uint64_t z = *state += SPLITMIX_GAMMA;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Return number `index` of the sequence that begins with `seed`, without computing those before it. */
static inline uint64_t splitmix_at(uint64_t seed, uint64_t index)
{
    uint64_t state = seed + index * SPLITMIX_GAMMA;
    return splitmix_next(&state);
}

#endif
