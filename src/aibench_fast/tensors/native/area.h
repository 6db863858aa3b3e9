/* Scaling of pictures by area averaging.
 *
 * Each output pixel is the mean of the part of the input that it covers; an input pixel that its
 * edge cuts counts by the part inside. The same holds for scaling up. This is what OpenCV's
 * INTER_AREA computes, to the rounding; Pillow's BOX gives cut pixels all or nothing.
 *
 * No state: any thread may call it, several at once.
 */
#ifndef AIBENCH_AREA_H
#define AIBENCH_AREA_H

#include <stddef.h>
#include <stdint.h>

/* Scales `in` (in_height rows of in_width pixels of in_pixel_bytes, 3 or 4) to `out` (out_height rows
 * of out_width pixels of 3 bytes). Of 4 bytes the last is left out. Rows have no padding.
 *
 * All sizes are in pixels, above 0 and below 2^31. The caller owns both pictures, which must not
 * overlap; working memory of a few rows is allocated and freed inside. Returns 0, or -1 where there
 * is no memory.
 */
int area_scale_rgb(const uint8_t *in, size_t in_width, size_t in_height, size_t in_pixel_bytes,
                   uint8_t *out, size_t out_width, size_t out_height);

#endif
