/* TF, TFLITE and ONNX models through OpenVINO on the CPU. */
#include <string.h>

#include "engine.h"
#include "openvino_variants.h"

struct EngineModel {
    Source source;
    Variants variants;
};

static int check_inputs(const EngineModel *model, const EngineRequest *requests, size_t count,
                        Error *error)
{
    for (size_t i = 0; i < model->source.input_count; i++) {
        const SourceInput *input = &model->source.inputs[i];
        for (size_t r = 0; r < count; r++)
            if (source_check_input(input, requests[r].inputs[i], error) != REDISMODULE_OK)
                return REDISMODULE_ERR;
        if (count > 1 && !input->any_rank &&
            (input->shape.rank == 0 || input->shape.dims[0] >= 0))
            return error_set(error, "input '%.64s' has no free dimension 0 to batch along",
                             input->tensor_name);
    }
    return REDISMODULE_OK;
}

/* The one copy of a tensor on its way from the command to the engine. */
static int copy_input(ov_infer_request_t *handle, const char *name, size_t input,
                      const EngineRequest *requests, size_t count)
{
    ov_tensor_t *tensor = NULL;
    void *data = NULL;
    int failed = openvino.infer_request_get_tensor(handle, name, &tensor);
    if (!failed && count > 1) {
        Shape shape = shape_copy(requests[0].inputs[input]->shape);
        for (size_t r = 1; r < count; r++)
            shape.dims[0] += requests[r].inputs[input]->dims[0];
        failed = openvino.tensor_set_shape(tensor, (ov_shape_t){(int64_t)shape.rank, shape.dims});
        RedisModule_Free(shape.dims);
    }
    failed = failed || openvino.tensor_data(tensor, &data);
    for (size_t r = 0, at = 0; r < count && !failed; r++) {
        const Blob *blob = &requests[r].inputs[input]->blob;
        memcpy((char *)data + at, blob->data, blob->bytes);
        at += blob->bytes;
    }
    if (tensor)
        openvino.tensor_free(tensor);
    return failed;
}

/* Gives each request its own rows of one output. */
static int split_output(const ov_tensor_t *tensor, const char *name, size_t output,
                        EngineRequest *requests, size_t count, Error *error)
{
    ov_element_type_e element_type;
    ov_shape_t found = {0};
    void *data;
    if (openvino.tensor_get_element_type(tensor, &element_type) != 0 ||
        openvino.tensor_get_shape(tensor, &found) != 0 || openvino.tensor_data(tensor, &data) != 0)
        return openvino_error(error, "cannot read the model's output");
    Shape shape = {(size_t)found.rank, found.dims};

    DType dtype;
    size_t bytes = 0;
    int64_t total_rows = 0;
    for (size_t r = 0; r < count; r++)
        total_rows += tensor_rows(requests[r].inputs[0]);
    int result = REDISMODULE_OK;
    if (!openvino_dtype(element_type, &dtype))
        result = error_set(error, "output '%.64s' is of a type that tensors cannot have", name);
    else if (tensor_measure(dtype, shape, &bytes, error) != REDISMODULE_OK)
        result = REDISMODULE_ERR;
    else if (count > 1 && (shape.rank == 0 || shape.dims[0] != total_rows))
        result = error_set(error, "output '%.64s' does not have the %lld rows of the batch", name,
                           (long long)total_rows);
    const char *next = data;
    for (size_t r = 0; r < count && result == REDISMODULE_OK; r++) {
        if (count > 1)
            shape.dims[0] = tensor_rows(requests[r].inputs[0]);
        size_t part = count > 1 ? bytes / (size_t)total_rows * (size_t)shape.dims[0] : bytes;
        Blob blob = blob_create(part);
        memcpy((char *)blob.data, next, part);
        next += part;
        requests[r].outputs[output] = tensor_create(dtype, shape, blob);
    }
    openvino.shape_free(&found);
    return result;
}

static int read_outputs(const EngineModel *model, ov_infer_request_t *handle,
                        EngineRequest *requests, size_t count, Error *error)
{
    int result = REDISMODULE_OK;
    size_t done = 0;
    while (done < model->source.output_tensors.count && result == REDISMODULE_OK) {
        const char *name = model->source.output_tensors.items[done];
        ov_tensor_t *tensor = NULL;
        if (openvino.infer_request_get_tensor(handle, name, &tensor) != 0)
            result = openvino_error(error, "cannot read the model's output");
        else
            result = split_output(tensor, name, done, requests, count, error);
        if (tensor)
            openvino.tensor_free(tensor);
        if (result == REDISMODULE_OK)
            done++;
    }
    if (result != REDISMODULE_OK)
        for (size_t r = 0; r < count; r++)
            for (size_t o = 0; o < done; o++) {
                tensor_release(requests[r].outputs[o]);
                requests[r].outputs[o] = NULL;
            }
    return result;
}

static int openvino_run(EngineModel *model, EngineRequest *requests, size_t count, Error *error)
{
    if (check_inputs(model, requests, count, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    Shape *shapes = RedisModule_Calloc(model->source.input_count, sizeof(Shape));
    for (size_t i = 0; i < model->source.input_count; i++) {
        shapes[i] = shape_copy(requests[0].inputs[i]->shape);
        if (count > 1)
            shapes[i].dims[0] = -1;
    }
    Inference *inference = variants_begin(&model->variants, &model->source, shapes, error);
    for (size_t i = 0; i < model->source.input_count; i++)
        RedisModule_Free(shapes[i].dims);
    RedisModule_Free(shapes);
    if (!inference)
        return REDISMODULE_ERR;

    int failed = 0;
    for (size_t i = 0; i < model->source.input_count && !failed; i++)
        failed = copy_input(inference->handle, model->source.inputs[i].tensor_name, i, requests,
                            count);
    failed = failed || openvino.infer_request_infer(inference->handle);
    int result = failed ? openvino_error(error, "the inference failed")
                        : read_outputs(model, inference->handle, requests, count, error);
    variants_end(&model->variants, inference);
    return result;
}

static void openvino_free(EngineModel *model)
{
    variants_free(&model->variants, &model->source);
    source_free(&model->source);
    RedisModule_Free(model);
}

/* Compiles for one row now, where nothing but the rows is free, so that a model that OpenVINO can
 * read but not run is refused when it is stored, and the first request does not wait. */
static int compile_for_one_row(EngineModel *model, Error *error)
{
    const Source *source = &model->source;
    Shape *shapes = RedisModule_Calloc(source->input_count, sizeof(Shape));
    bool known = true;
    for (size_t i = 0; i < source->input_count; i++) {
        shapes[i] = shape_copy(source->inputs[i].shape);
        known = known && !source->inputs[i].any_rank;
        for (size_t d = 0; d < shapes[i].rank; d++) {
            if (d == 0 && shapes[i].dims[d] < 0)
                shapes[i].dims[d] = 1;
            known = known && shapes[i].dims[d] >= 0;
        }
    }
    Inference *inference = NULL;
    if (known) {
        inference = variants_begin(&model->variants, source, shapes, error);
        if (inference)
            variants_end(&model->variants, inference);
    }
    for (size_t i = 0; i < source->input_count; i++)
        RedisModule_Free(shapes[i].dims);
    RedisModule_Free(shapes);
    return known && !inference ? REDISMODULE_ERR : REDISMODULE_OK;
}

static int openvino_load(const SourceFormat *format, const char *blob, size_t bytes, Names *inputs,
                         Names *outputs, EngineModel **loaded, Error *error)
{
    EngineModel *model = RedisModule_Calloc(1, sizeof(*model));
    variants_create(&model->variants);
    if (source_read(format, blob, bytes, inputs, outputs, &model->source, error) !=
            REDISMODULE_OK ||
        compile_for_one_row(model, error) != REDISMODULE_OK) {
        openvino_free(model);
        return REDISMODULE_ERR;
    }
    *loaded = model;
    return REDISMODULE_OK;
}

/* Field 1 of a TensorFlow GraphDef is a message, and of an ONNX model a number, so if a file starts
 * with field 1, as most do, its first byte excludes one of the two. */
static bool maybe_graphdef(const char *blob, size_t bytes) { return bytes > 0 && blob[0] != 0x08; }

static bool maybe_onnx(const char *blob, size_t bytes) { return bytes > 0 && blob[0] != 0x0a; }

/* A flatbuffer's identifier is behind its first offset. */
static bool is_tflite(const char *blob, size_t bytes)
{
    return bytes >= 8 && memcmp(blob + 4, "TFL3", 4) == 0;
}

static int load_tf(const char *blob, size_t bytes, Names *inputs, Names *outputs,
                   EngineModel **model, Error *error)
{
    static const SourceFormat format = {".pb", "Invalid GraphDef", maybe_graphdef};
    return openvino_load(&format, blob, bytes, inputs, outputs, model, error);
}

static int load_tflite(const char *blob, size_t bytes, Names *inputs, Names *outputs,
                       EngineModel **model, Error *error)
{
    static const SourceFormat format = {".tflite", "Failed to load model from buffer", is_tflite};
    return openvino_load(&format, blob, bytes, inputs, outputs, model, error);
}

static int load_onnx(const char *blob, size_t bytes, Names *inputs, Names *outputs,
                     EngineModel **model, Error *error)
{
    static const SourceFormat format = {
        ".onnx", "Failed to load model because protobuf parsing failed.", maybe_onnx};
    return openvino_load(&format, blob, bytes, inputs, outputs, model, error);
}

const Engine engine_openvino_tf = {
    .backend = "TF",
    .named = true,
    .batches = true,
    .load = load_tf,
    .run = openvino_run,
    .free = openvino_free,
};

const Engine engine_openvino_tflite = {
    .backend = "TFLITE",
    .load = load_tflite,
    .run = openvino_run,
    .free = openvino_free,
};

const Engine engine_openvino_onnx = {
    .backend = "ONNX",
    .batches = true,
    .load = load_onnx,
    .run = openvino_run,
    .free = openvino_free,
};
