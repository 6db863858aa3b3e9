/* A model as OpenVINO has read it, before it is compiled for any shape. Main thread, but for
 * source_check_input, and for source_reshape, which its caller serialises. */
#ifndef AIBENCH_OPENVINO_SOURCE_H
#define AIBENCH_OPENVINO_SOURCE_H

#include "engine.h"
#include "openvino_api.h"

/* A kind of model file. */
typedef struct SourceFormat {
    const char *suffix;  /* of its files */
    const char *refusal; /* the error where the bytes are none such */
    /* false: the bytes are of another format, which OpenVINO would read all the same */
    bool (*matches)(const char *blob, size_t bytes);
} SourceFormat;

typedef struct SourceInput {
    char *tensor_name; /* OpenVINO's */
    DType dtype;
    bool any_rank; /* the shape says nothing */
    Shape shape;   /* a dimension of -1 is free */
} SourceInput;

typedef struct Source {
    ov_model_t *handle;
    SourceInput *inputs;
    size_t input_count;
    Names output_tensors; /* OpenVINO's names, in the order of the model's outputs */
} Source;

/* Reads a model whose inputs and outputs are named, or, where the lists are empty, all of them, whose
 * names are then added. The source is to be freed whatever is returned. */
int source_read(const SourceFormat *format, const char *blob, size_t bytes, Names *inputs,
                Names *outputs, Source *source, Error *error);

void source_free(Source *source);

/* Whether a tensor is of the input's type and fits its shape. */
int source_check_input(const SourceInput *input, const Tensor *tensor, Error *error);

/* Gives the inputs these shapes; a dimension of -1 is left free. */
int source_reshape(const Source *source, const Shape *shapes, Error *error);

#endif
