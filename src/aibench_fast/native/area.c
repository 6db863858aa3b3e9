#include "area.h"

#include <stdlib.h>
#include <string.h>

#include "vectorise.h"

enum { CHANNELS = 3, LANES = 4 };

/* One pixel in a vector register. Its fourth lane is unused: the next pixel's first value, or what
 * fills four bytes. */
typedef float pixel __attribute__((vector_size(LANES * sizeof(float))));

/* What one output pixel covers along one axis: input pixels first to last, both included. Those
 * between count `whole` each; the weights of all add up to 1. */
struct span {
    size_t first, last;
    float at_first, at_last;
};

/* The span of output pixel `i` of `out_n`, in exact integers: in units of 1/out_n input pixel it
 * reaches from i * in_n to (i + 1) * in_n, and input pixel j from j * out_n to (j + 1) * out_n. */
static struct span span_of(size_t i, size_t in_n, size_t out_n)
{
    size_t start = i * in_n, end = start + in_n;
    struct span span = {.first = start / out_n, .last = (end - 1) / out_n};

    if (span.first == span.last) {
        span.at_first = 1;
    } else {
        span.at_first = (float)((span.first + 1) * out_n - start) / (float)in_n;
        span.at_last = (float)(end - span.last * out_n) / (float)in_n;
    }
    return span;
}

VECTORISE static void weigh_row(const uint8_t *restrict in, float *restrict sum, size_t n, float weight)
{
    for (size_t i = 0; i < n; i++)
        sum[i] = (float)in[i] * weight;
}

VECTORISE static void add_row(const uint8_t *restrict in, float *restrict sum, size_t n, float weight)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += (float)in[i] * weight;
}

static void average_rows(const uint8_t *in, size_t row_n, struct span span, float whole, float *sum)
{
    const uint8_t *row = in + span.first * row_n;

    weigh_row(row, sum, row_n, span.at_first);
    for (size_t j = span.first + 1; j < span.last; j++)
        add_row(row += row_n, sum, row_n, whole);
    if (span.last > span.first)
        add_row(row += row_n, sum, row_n, span.at_last);
}

static pixel load(const float *at)
{
    pixel value;

    memcpy(&value, at, sizeof value);
    return value;
}

static void average_columns(const float *row, size_t step, const struct span *spans,
                            size_t out_width, float whole, float *out)
{
    for (size_t i = 0; i < out_width; i++) {
        struct span span = spans[i];
        pixel middle = {0};

        for (size_t j = span.first + 1; j < span.last; j++)
            middle += load(row + j * step);
        pixel mean = load(row + span.first * step) * span.at_first + middle * whole +
                     load(row + span.last * step) * span.at_last;
        memcpy(out + i * CHANNELS, &mean, sizeof mean);
    }
}

VECTORISE static void round_row(const float *restrict in, uint8_t *restrict out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(in[i] + 0.5f);
}

int area_scale_rgb(const uint8_t *in, size_t in_width, size_t in_height, size_t in_pixel_bytes,
                   uint8_t *out, size_t out_width, size_t out_height)
{
    size_t in_row = in_width * in_pixel_bytes, out_row = out_width * CHANNELS;
    float whole_column = (float)out_width / (float)in_width;
    float whole_row = (float)out_height / (float)in_height;
    /* One value more than a row, which the last pixel's unused lane reads or writes. */
    float *sum = calloc(in_row + 1, sizeof *sum);
    float *mean = calloc(out_row + 1, sizeof *mean);
    struct span *columns = calloc(out_width, sizeof *columns);
    int status = -1;

    if (sum && mean && columns) {
        for (size_t x = 0; x < out_width; x++)
            columns[x] = span_of(x, in_width, out_width);
        for (size_t y = 0; y < out_height; y++) {
            average_rows(in, in_row, span_of(y, in_height, out_height), whole_row, sum);
            average_columns(sum, in_pixel_bytes, columns, out_width, whole_column, mean);
            round_row(mean, out + y * out_row, out_row);
        }
        status = 0;
    }
    free(columns);
    free(mean);
    free(sum);
    return status;
}
