/* Pixels to tensor values.
 *
 * No allocation, no state: any thread may call it, several at once on different memory.
 */
#ifndef AIBENCH_CONVERT_H
#define AIBENCH_CONVERT_H

#include <stddef.h>
#include <stdint.h>

/* out[i] = in[i] * scale + offset, rounded to float after each step, for i below `n`.
 *
 * The caller owns both arrays: `n` values each, which must not overlap. Cannot fail.
 */
void convert_u8_to_f32(const uint8_t *in, float *out, size_t n, float scale, float offset);

#endif
