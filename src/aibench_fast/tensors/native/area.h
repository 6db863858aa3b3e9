/* Scaling of pictures by area averaging.
 *
 * Each output pixel is the mean of the input area that it covers; an input pixel on the edge of this area counts by
 * the part inside. The same holds for scaling up. OpenCV's INTER_AREA computes the same, up to rounding; Pillow's BOX
 * counts pixels on the edge fully or not at all.
 *
 * Threads: no state; any number may call it at once.
 */
#ifndef AIBENCH_AREA_H
#define AIBENCH_AREA_H

#include <stddef.h>
#include <stdint.h>

/* Scale `in` (in_height rows of in_width pixels of in_pixel_bytes, 3 or 4) to `out` (out_height rows of out_width
 * pixels of 3 bytes). The last of 4 bytes is ignored. Rows have no padding.
 *
 * All sizes are in pixels, above 0 and below 2^31. The caller owns both pictures, which must not overlap. A few rows of
 * working memory are allocated and freed inside. Return 0, or -1 without memory.
 */
int area_scale_rgb(const uint8_t *in, size_t in_width, size_t in_height, size_t in_pixel_bytes,
                   uint8_t *out, size_t out_width, size_t out_height);

#endif
