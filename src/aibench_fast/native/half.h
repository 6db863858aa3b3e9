/* Converts half-precision floats (FP16) from and to their bits. Every half is exactly a double.
 *
 * Memory: nothing is allocated. Threads: any number. */
#ifndef AIBENCH_HALF_H
#define AIBENCH_HALF_H

#include <math.h>
#include <stdint.h>

static inline double half_to_double(uint16_t half)
{
    int exponent = half >> 10 & 0x1f, fraction = half & 0x3ff;
    double magnitude = exponent == 0      ? ldexp(fraction, -24)
                       : exponent == 0x1f ? (fraction ? NAN : INFINITY)
                                          : ldexp(fraction + 0x400, exponent - 25);
    return half & 0x8000 ? -magnitude : magnitude;
}

/* Return the nearest half; of two the even one. */
static inline uint16_t half_of_double(double value)
{
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    double magnitude = fabs(value);
    int exponent;
    if (isnan(value))
        return 0x7e00;
    if (magnitude >= 0x1.ffep15) /* half-way from the largest to the next that there would be */
        return sign | 0x7c00;
    if (magnitude < 0x1p-14)
        return sign | (uint16_t)nearbyint(magnitude * 0x1p24);
    frexp(magnitude, &exponent);
    return sign | (uint16_t)(((exponent + 13) << 10) + (int)nearbyint(ldexp(magnitude, 11 - exponent)));
}

#endif
