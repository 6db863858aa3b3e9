/* How fast pixels become tensor values, beside memcpy into the same memory.
 *
 * usage: converting VALUES ROUNDS SECONDS
 * Prints a line a round: converted and copied, each in bytes written a second.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "convert.h"

static uint8_t *pixels;
static float *copied, *out;
static size_t values;

static void convert(void)
{
    convert_u8_to_f32(pixels, out, values, 1.0f / 255, 0);
}

static void copy(void)
{
    memcpy(out, copied, values * sizeof *out);
}

static double bytes_per_s(void (*fill)(void), double seconds)
{
    int64_t start_ns = monotonic_ns(), took_ns;
    long times = 0;
    do {
        fill();
        __asm__ volatile("" : : "r"(out) : "memory"); /* somebody may read what was written */
        times++;
        took_ns = monotonic_ns() - start_ns;
    } while ((double)took_ns < seconds * 1e9);
    return (double)times * (double)(values * sizeof *out) / ((double)took_ns / 1e9);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: converting VALUES ROUNDS SECONDS\n");
        return 1;
    }
    values = strtoul(argv[1], NULL, 10);
    double seconds = atof(argv[3]) / 2;
    pixels = malloc(values);
    copied = malloc(values * sizeof *copied);
    out = malloc(values * sizeof *out);
    for (size_t i = 0; i < values; i++) {
        pixels[i] = (uint8_t)(i * 31);
        copied[i] = (float)i;
    }
    memset(out, 1, values * sizeof *out); /* of 0 the compiler would make calloc, which touches nothing */
    for (int round = 0; round < atoi(argv[2]); round++) {
        double converted, moved;
        if (round % 2 == 0) {
            converted = bytes_per_s(convert, seconds);
            moved = bytes_per_s(copy, seconds);
        } else {
            moved = bytes_per_s(copy, seconds);
            converted = bytes_per_s(convert, seconds);
        }
        printf("%.0f %.0f\n", converted, moved);
    }
    free(pixels);
    free(copied);
    free(out);
    return 0;
}
