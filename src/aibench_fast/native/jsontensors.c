#include "jsontensors.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <yyjson.h>

#include "half.h"

#define VALUE_TEXT_BYTES_MAX 26 /* the longest double with its comma, and one to spare */
#define SEPARATOR_BYTES 1

int jsontensors_open(struct jsontensors *j, enum tensor_dtype dtype, size_t tensor_bytes,
                     uint64_t most, errstr_t errstr)
{
    size_t values = tensor_bytes / tensordata_value_bytes(dtype);
    *j = (struct jsontensors){
        .room_bytes = values * VALUE_TEXT_BYTES_MAX,
        .most = most,
        .texts_bytes = calloc(most, sizeof *j->texts_bytes),
        .dtype = dtype,
        .tensor_bytes = tensor_bytes,
    };
    j->base = mmap(NULL, most * j->room_bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (j->base != MAP_FAILED && j->texts_bytes != NULL)
        return 0;
    snprintf(errstr, ERRSTR_BYTES, "cannot allocate memory for %llu tensors as JSON: %s",
             (unsigned long long)most, strerror(errno));
    jsontensors_close(j);
    return -1;
}

void jsontensors_close(struct jsontensors *j)
{
    if (j->base != NULL && j->base != MAP_FAILED)
        munmap(j->base, j->most * j->room_bytes);
    free(j->texts_bytes);
    j->base = NULL;
    j->texts_bytes = NULL;
}

static yyjson_mut_val *bools(yyjson_mut_doc *document, const char *tensor, size_t count)
{
    yyjson_mut_val *array = yyjson_mut_arr(document);
    for (size_t i = 0; i < count; i++)
        yyjson_mut_arr_add_bool(document, array, tensor[i] != 0);
    return array;
}

static yyjson_mut_val *halves(yyjson_mut_doc *document, const uint16_t *tensor, size_t count)
{
    yyjson_mut_val *array = yyjson_mut_arr(document);
    for (size_t i = 0; i < count; i++)
        yyjson_mut_arr_add_real(document, array, half_to_double(tensor[i]));
    return array;
}

static yyjson_mut_val *array_of(const struct jsontensors *j, yyjson_mut_doc *d, const char *tensor)
{
    const void *values = tensor;
    size_t count = j->tensor_bytes / tensordata_value_bytes(j->dtype);
    switch (j->dtype) {
    case TENSOR_FLOAT: return yyjson_mut_arr_with_float(d, values, count);
    case TENSOR_DOUBLE: return yyjson_mut_arr_with_double(d, values, count);
    case TENSOR_INT8: return yyjson_mut_arr_with_sint8(d, values, count);
    case TENSOR_INT16: return yyjson_mut_arr_with_sint16(d, values, count);
    case TENSOR_INT32: return yyjson_mut_arr_with_sint32(d, values, count);
    case TENSOR_INT64: return yyjson_mut_arr_with_sint64(d, values, count);
    case TENSOR_UINT8: return yyjson_mut_arr_with_uint8(d, values, count);
    case TENSOR_UINT16: return yyjson_mut_arr_with_uint16(d, values, count);
    case TENSOR_UINT32: return yyjson_mut_arr_with_uint32(d, values, count);
    case TENSOR_UINT64: return yyjson_mut_arr_with_uint64(d, values, count);
    case TENSOR_BOOL: return bools(d, values, count);
    case TENSOR_FP16: return halves(d, values, count);
    case TENSOR_BF16:
    case TENSOR_STRINGS: break;
    }
    return NULL;
}

/* Return the tensor's values as a JSON array, which the caller frees; NULL with the reason in `errstr`. */
static char *text_of(const struct jsontensors *j, const char *tensor, size_t *bytes, errstr_t errstr)
{
    bool short_floats = j->dtype == TENSOR_FLOAT || j->dtype == TENSOR_FP16;
    yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
    yyjson_write_err error = {.msg = "out of memory"};
    char *text = NULL;
    if (document != NULL) {
        yyjson_mut_doc_set_root(document, array_of(j, document, tensor));
        text = yyjson_mut_write_opts(document, short_floats ? YYJSON_WRITE_FP_TO_FLOAT : 0, NULL,
                                     bytes, &error);
    }
    if (text == NULL)
        snprintf(errstr, ERRSTR_BYTES, "tensor %llu: %s", (unsigned long long)j->count, error.msg);
    yyjson_mut_doc_free(document);
    return text;
}

int jsontensors_add(struct jsontensors *j, const char *tensor, errstr_t errstr)
{
    size_t bytes; /* of the array; the comma replaces its first bracket, and its last is left out */
    char *text = text_of(j, tensor, &bytes, errstr);
    if (text == NULL)
        return -1;
    text[0] = ',';
    bytes--;
    memcpy(j->base + j->count * j->room_bytes, text, bytes);
    free(text);
    j->texts_bytes[j->count++] = bytes;
    if (bytes > j->text_bytes)
        j->text_bytes = bytes;
    return 0;
}

void jsontensors_finish(struct jsontensors *j, uint64_t count, struct tensormap *map)
{
    for (uint64_t i = 0; i < count; i++) {
        char *place = j->base + i * j->text_bytes;
        size_t bytes = j->texts_bytes[i];
        memmove(place, j->base + i * j->room_bytes, bytes);
        memset(place + bytes, ' ', j->text_bytes - bytes);
    }
    *map = (struct tensormap){
        .base = mremap(j->base, j->most * j->room_bytes, count * j->text_bytes, 0),
        .tensor_bytes = j->text_bytes,
        .tensor_count = count,
        .seamless_count = count,
        .lead_bytes = SEPARATOR_BYTES,
        .mapped_bytes = count * j->text_bytes,
    };
    mprotect((void *)map->base, count * j->text_bytes, PROT_READ);
    j->base = NULL;
    jsontensors_close(j);
}
