/* Runs the pixel loops over pictures of many sizes, each in memory of exactly its size, for the
 * sanitizers to see what is read or written beside it. */
#include <stdio.h>
#include <stdlib.h>

#include "area.h"
#include "convert.h"

enum { LARGEST = 40, ROUNDS = 2000 };

static size_t size(void)
{
    return 1 + (size_t)rand() % LARGEST;
}

int main(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        size_t in_width = size(), in_height = size(), width = size(), height = size();
        size_t pixel_bytes = 3 + (size_t)round % 2, values = width * height * 3;
        uint8_t *in = calloc(in_width * in_height, pixel_bytes);
        uint8_t *scaled = malloc(values);
        float *tensor = malloc(values * sizeof *tensor);

        for (size_t i = 0; i < in_width * in_height * pixel_bytes; i++)
            in[i] = (uint8_t)(i % pixel_bytes == 3 ? 0 : 255);
        if (area_scale_rgb(in, in_width, in_height, pixel_bytes, scaled, width, height) != 0)
            return 2;
        convert_u8_to_f32(scaled, tensor, values, 1 / 255.0f, 0);
        for (size_t i = 0; i < values; i++)
            if (tensor[i] != 1) {
                fprintf(stderr, "%zu x %zu to %zu x %zu: value %zu of a white picture is %g\n",
                        in_width, in_height, width, height, i, (double)tensor[i]);
                return 1;
            }
        free(tensor);
        free(scaled);
        free(in);
    }
    return 0;
}
