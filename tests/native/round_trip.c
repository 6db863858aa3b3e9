/* Tensors to JSON text and back, a part of the driver; any difference is an exit code of 1. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yyjson.h>

#include "half.h"
#include "jsontensors.h"
#include "jsonvalues.h"
#include "round_trip.h"
#include "splitmix.h"

#define TENSORS 7
#define ROUNDS 200
#define VALUES_MAX 40

static const enum tensor_dtype dtypes[] = {
    TENSOR_FLOAT, TENSOR_DOUBLE, TENSOR_INT8,   TENSOR_INT16,  TENSOR_INT32, TENSOR_INT64,
    TENSOR_UINT8, TENSOR_UINT16, TENSOR_UINT32, TENSOR_UINT64, TENSOR_BOOL,  TENSOR_FP16,
};

/* Any bits, but of such as JSON has: no infinity, no NaN, and of a BOOL 0 or 1. */
static void draw(char *data, size_t bytes, enum tensor_dtype dtype, uint64_t *seed)
{
    for (size_t i = 0; i < bytes; i++)
        data[i] = (char)(splitmix_next(seed) & (dtype == TENSOR_BOOL ? 1 : 0xff));
    if (dtype == TENSOR_FLOAT)
        for (float *f = (float *)data; (char *)f < data + bytes; f++)
            *f = isfinite(*f) ? *f : 0;
    if (dtype == TENSOR_DOUBLE)
        for (double *d = (double *)data; (char *)d < data + bytes; d++)
            *d = isfinite(*d) ? *d : 0;
    if (dtype == TENSOR_FP16)
        for (uint16_t *h = (uint16_t *)data; (char *)h < data + bytes; h++)
            *h = isfinite(half_to_double(*h)) ? *h : 0;
}

/* Whether a batch of text, from any tensor on and around the end, is the tensors' values. */
static bool batch_is_well(const struct tensormap *texts, uint64_t first, uint64_t batch,
                          const char *data, size_t tensor_bytes, enum tensor_dtype dtype)
{
    errstr_t errstr;
    size_t values = batch * tensor_bytes / tensordata_value_bytes(dtype);
    size_t text_bytes = tensormap_batch_bytes(texts, first, batch);
    char *text = malloc(text_bytes + 2), *found = malloc(batch * tensor_bytes);
    text[0] = '[';
    bool well = tensormap_read(texts, first, batch, text + 1, errstr) == 0;
    text[text_bytes + 1] = ']';
    yyjson_doc *document = yyjson_read(text, text_bytes + 2, 0);
    yyjson_val *root = yyjson_doc_get_root(document);
    well = well && jsonvalues_read(root, dtype, found, values) == (int64_t)values;
    for (uint64_t i = 0; well && i < batch; i++)
        well = memcmp(found + i * tensor_bytes, data + (first + i) % TENSORS * tensor_bytes,
                      tensor_bytes) == 0;
    yyjson_doc_free(document);
    free(text);
    free(found);
    return well;
}

int round_trip(void)
{
    uint64_t seed = 1;
    errstr_t errstr;
    for (int round = 0; round < ROUNDS; round++) {
        enum tensor_dtype dtype = dtypes[(size_t)round % (sizeof dtypes / sizeof dtypes[0])];
        size_t values = 1 + splitmix_next(&seed) % VALUES_MAX;
        size_t tensor_bytes = values * tensordata_value_bytes(dtype);
        char *data = malloc(TENSORS * tensor_bytes);
        struct jsontensors writer;
        struct tensormap texts;
        draw(data, TENSORS * tensor_bytes, dtype, &seed);
        if (jsontensors_open(&writer, dtype, tensor_bytes, TENSORS + 1, errstr) < 0)
            return 1;
        for (size_t i = 0; i < TENSORS; i++)
            if (jsontensors_add(&writer, data + i * tensor_bytes, errstr) < 0)
                return 1;
        jsontensors_finish(&writer, TENSORS, &texts);
        for (uint64_t first = 0; first < TENSORS; first++)
            for (uint64_t batch = 1; batch <= 2 * TENSORS; batch++)
                if (!batch_is_well(&texts, first, batch, data, tensor_bytes, dtype)) {
                    fprintf(stderr, "dtype %d, from %llu, %llu tensors\n", (int)dtype,
                            (unsigned long long)first, (unsigned long long)batch);
                    return 1;
                }
        tensormap_close(&texts);
        free(data);
    }
    return 0;
}
