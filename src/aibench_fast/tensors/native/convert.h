/* Converts pixels to tensor values.
 *
 * Memory: nothing is allocated. Threads: no state; any number may call it at once, each on other memory.
 */
#ifndef AIBENCH_CONVERT_H
#define AIBENCH_CONVERT_H

#include <stddef.h>
#include <stdint.h>

/* out[i] = in[i] * scale + offset, rounded to float after each step, for i below `n`.
 *
 * The caller owns both arrays of `n` values, which must not overlap. It cannot fail.
 */
void convert_u8_to_f32(const uint8_t *in, float *out, size_t n, float scale, float offset);

#endif
