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

/* The input pixels that make up each output pixel of a row: `count` of them from `first` on, as many
 * for one as for any other, so that the loop over them has no surprises; a weight may be 0. */
struct taps {
    size_t count;
    size_t *first;  /* one an output pixel */
    float *weights; /* `count` an output pixel */
};

static int taps_init(struct taps *taps, size_t in_n, size_t out_n)
{
    taps->count = 1;
    for (size_t i = 0; i < out_n; i++) {
        struct span span = span_of(i, in_n, out_n);
        size_t covered = span.last - span.first + 1;
        if (covered > taps->count)
            taps->count = covered;
    }
    taps->first = calloc(out_n, sizeof *taps->first);
    taps->weights = calloc(out_n * taps->count, sizeof *taps->weights);
    if (!taps->first || !taps->weights)
        return -1;
    for (size_t i = 0; i < out_n; i++) {
        struct span span = span_of(i, in_n, out_n);
        /* The last ones begin early, so that no tap is beyond the row. */
        size_t first = span.first + taps->count <= in_n ? span.first : in_n - taps->count;
        float *weights = taps->weights + i * taps->count;
        taps->first[i] = first;
        for (size_t j = span.first; j <= span.last; j++)
            weights[j - first] = (float)out_n / (float)in_n;
        weights[span.first - first] = span.at_first;
        if (span.last > span.first)
            weights[span.last - first] = span.at_last;
    }
    return 0;
}

static void taps_free(struct taps *taps)
{
    free(taps->first);
    free(taps->weights);
}

static inline __attribute__((always_inline)) void
average_columns_by(size_t count, const float *row, size_t step, const struct taps *taps,
                   size_t out_width, float *out)
{
    const float *weights = taps->weights;
    for (size_t i = 0; i < out_width; i++, weights += count) {
        const float *from = row + taps->first[i] * step;
        pixel mean = load(from) * weights[0];
        for (size_t j = 1; j < count; j++)
            mean += load(from + j * step) * weights[j];
        memcpy(out + i * CHANNELS, &mean, sizeof mean);
    }
}

VECTORISE static void average_columns(const float *row, size_t step, const struct taps *taps,
                            size_t out_width, float *out)
{
    /* A photograph that shrinks to about a half has three; unrolled that takes half the time. */
    if (taps->count == 3)
        average_columns_by(3, row, step, taps, out_width, out);
    else
        average_columns_by(taps->count, row, step, taps, out_width, out);
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
    float whole_row = (float)out_height / (float)in_height;
    /* One value more than a row, which the last pixel's unused lane reads or writes. */
    float *sum = calloc(in_row + 1, sizeof *sum);
    float *mean = calloc(out_row + 1, sizeof *mean);
    struct taps columns;
    int status = -1;

    if (taps_init(&columns, in_width, out_width) == 0 && sum && mean) {
        for (size_t y = 0; y < out_height; y++) {
            average_rows(in, in_row, span_of(y, in_height, out_height), whole_row, sum);
            average_columns(sum, in_pixel_bytes, &columns, out_width, mean);
            round_row(mean, out + y * out_row, out_row);
        }
        status = 0;
    }
    taps_free(&columns);
    free(mean);
    free(sum);
    return status;
}
