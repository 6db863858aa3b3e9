/* TF, TFLITE and ONNX models through OpenVINO on the CPU.
 *
 * A model is compiled for the shapes that it is run with: for a client's own shapes exactly, which is
 * fastest; for requests that are joined, whose rows differ from one execution to the next, with
 * dimension 0 left free. Each such variant is kept, up to MAX_VARIANTS of a model.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "engine.h"
#include "openvino_api.h"

#define MAX_VARIANTS 4

typedef struct Port {
    char *name;
    DType dtype;
    bool any_rank;
    Shape shape; /* a dimension of -1 is free; dims is ours */
} Port;

typedef struct InferRequest {
    ov_infer_request_t *handle;
    struct InferRequest *next;
} InferRequest;

typedef struct Variant {
    ov_compiled_model_t *compiled;
    Shape *shapes;      /* of each input; dimension 0 is -1 where it is free */
    InferRequest *idle; /* one was made for each run that has been under way at a time */
    size_t running;
    struct Variant *next; /* in the order of their last use, the latest first */
} Variant;

struct EngineModel {
    pthread_mutex_t lock; /* of everything below that changes: source's shape, variants */
    ov_model_t *source;
    Port *inputs;
    size_t input_count;
    Names outputs;
    Variant *variants;
    size_t variant_count;
};

/* ---- reading a model ---- */

static Shape shape_copy(Shape shape)
{
    Shape copy = {shape.rank, RedisModule_Alloc(shape.rank * sizeof(int64_t) + 1)};
    if (shape.rank)
        memcpy(copy.dims, shape.dims, shape.rank * sizeof(int64_t));
    return copy;
}

static bool shape_equal(Shape a, Shape b)
{
    return a.rank == b.rank && memcmp(a.dims, b.dims, a.rank * sizeof(int64_t)) == 0;
}

static int write_all(int file, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(file, data, bytes);
        if (written < 0)
            return REDISMODULE_ERR;
        data += written;
        bytes -= (size_t)written;
    }
    return REDISMODULE_OK;
}

/* Through a file, because the readers of two of the three formats read nothing else, and tell the
 * format by the file's suffix. */
static int read_source(const char *blob, size_t bytes, const char *suffix, const char *refusal,
                       ov_model_t **source, Error *error)
{
    char path[256];
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof(path), "%s/aimodel-XXXXXX%s", folder && *folder ? folder : "/tmp", suffix);
    int file = mkostemps(path, (int)strlen(suffix), O_CLOEXEC);
    if (file < 0)
        return error_set(error, "ERR cannot write the model to a temporary file %s: %m", path);
    int result = REDISMODULE_OK;
    if (write_all(file, blob, bytes) != REDISMODULE_OK)
        result = error_set(error, "ERR cannot write the model to a temporary file %s: %m", path);
    else if (openvino.core_read_model(openvino.core, path, NULL, source) != 0)
        result = openvino_error(error, refusal);
    close(file);
    unlink(path);
    return result;
}

static int port_describe(ov_output_const_port_t *handle, const char *name, Port *port, Error *error)
{
    ov_element_type_e element_type;
    ov_partial_shape_t partial;
    if (openvino.port_get_element_type(handle, &element_type) != 0 ||
        openvino.port_get_partial_shape(handle, &partial) != 0)
        return openvino_error(error, "cannot read the model's inputs");
    port->any_rank = partial.rank.min != partial.rank.max;
    port->shape.rank = port->any_rank ? 0 : (size_t)partial.rank.min;
    port->shape.dims = RedisModule_Alloc(port->shape.rank * sizeof(int64_t) + 1);
    for (size_t i = 0; i < port->shape.rank; i++)
        port->shape.dims[i] =
            partial.dims[i].min == partial.dims[i].max ? partial.dims[i].min : -1;
    openvino.partial_shape_free(&partial);
    port->name = RedisModule_Strdup(name);
    if (!openvino_dtype(element_type, &port->dtype))
        return error_set(error, "input '%.64s' is of a type that tensors cannot have", name);
    return REDISMODULE_OK;
}

typedef ov_status_e (*PortByIndex)(const ov_model_t *, size_t, ov_output_const_port_t **);

/* Adds the name of every port to a list. */
static int list_ports(const ov_model_t *source, size_t count, PortByIndex port_by_index,
                      Names *names, Error *error)
{
    for (size_t i = 0; i < count; i++) {
        ov_output_const_port_t *port = NULL;
        char *name = NULL;
        int failed = port_by_index(source, i, &port) || openvino.port_get_any_name(port, &name);
        if (!failed)
            names_add(names, name);
        openvino.free(name);
        if (port)
            openvino.output_const_port_free(port);
        if (failed)
            return openvino_error(error, "cannot read the model's inputs and outputs");
    }
    return REDISMODULE_OK;
}

static int find_inputs(EngineModel *model, Names *names, Error *error)
{
    size_t count;
    if (openvino.model_inputs_size(model->source, &count) != 0)
        return openvino_error(error, "cannot read the model's inputs");
    if (names->count == 0 && list_ports(model->source, count, openvino.model_const_input_by_index,
                                        names, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    model->inputs = RedisModule_Calloc(names->count + 1, sizeof(model->inputs[0]));
    for (size_t i = 0; i < names->count; i++) {
        ov_output_const_port_t *port = NULL;
        if (openvino.model_const_input_by_name(model->source, names->items[i], &port) != 0)
            return error_set(error, "ERR Input node named \"%.64s\" not found in TF graph.",
                             names->items[i]);
        int result = port_describe(port, names->items[i], &model->inputs[i], error);
        model->input_count++;
        openvino.output_const_port_free(port);
        if (result != REDISMODULE_OK)
            return REDISMODULE_ERR;
    }
    if (names->count < count)
        return error_set(error, "ERR %zu INPUTS are named, and the model has %zu", names->count,
                         count);
    return REDISMODULE_OK;
}

static int find_outputs(EngineModel *model, Names *names, Error *error)
{
    size_t count;
    if (openvino.model_outputs_size(model->source, &count) != 0)
        return openvino_error(error, "cannot read the model's outputs");
    if (names->count == 0 && list_ports(model->source, count, openvino.model_const_output_by_index,
                                        names, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    for (size_t i = 0; i < names->count; i++) {
        ov_output_const_port_t *port = NULL;
        if (openvino.model_const_output_by_name(model->source, names->items[i], &port) != 0)
            return error_set(error, "ERR Output node named \"%.64s\" not found in TF graph",
                             names->items[i]);
        openvino.output_const_port_free(port);
        names_add(&model->outputs, names->items[i]);
    }
    return REDISMODULE_OK;
}

/* ---- variants ---- */

static void variant_free(Variant *variant, size_t input_count)
{
    while (variant->idle) {
        InferRequest *request = variant->idle;
        variant->idle = request->next;
        openvino.infer_request_free(request->handle);
        RedisModule_Free(request);
    }
    if (variant->compiled)
        openvino.compiled_model_free(variant->compiled);
    for (size_t i = 0; i < input_count; i++)
        RedisModule_Free(variant->shapes[i].dims);
    RedisModule_Free(variant->shapes);
    RedisModule_Free(variant);
}

static int reshape(EngineModel *model, const Shape *shapes, Error *error)
{
    size_t count = model->input_count;
    const char **names = RedisModule_Alloc(count * sizeof(*names));
    ov_partial_shape_t *partials = RedisModule_Calloc(count, sizeof(*partials));
    for (size_t i = 0; i < count; i++) {
        int64_t rank = (int64_t)shapes[i].rank;
        names[i] = model->inputs[i].name;
        partials[i].rank = (ov_dimension_t){rank, rank};
        partials[i].dims = RedisModule_Alloc(shapes[i].rank * sizeof(ov_dimension_t) + 1);
        for (size_t d = 0; d < shapes[i].rank; d++) {
            int64_t dim = shapes[i].dims[d];
            partials[i].dims[d] = dim < 0 ? (ov_dimension_t){0, -1} : (ov_dimension_t){dim, dim};
        }
    }
    int failed = openvino.model_reshape(model->source, names, partials, count);
    for (size_t i = 0; i < count; i++)
        RedisModule_Free(partials[i].dims);
    RedisModule_Free(partials);
    RedisModule_Free(names);
    return failed ? openvino_error(error, "the model does not take these shapes") : REDISMODULE_OK;
}

static int compile(EngineModel *model, Variant *variant, Error *error)
{
    char streams[24], threads[24];
    snprintf(streams, sizeof(streams), "%lld", config.threads_per_queue);
    snprintf(threads, sizeof(threads), "%lld", config.intra_op_parallelism);
    if (model->input_count && reshape(model, variant->shapes, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    /* OpenVINO would compute in bfloat16 on processors that have it; the models, and RedisAI, are of
     * single precision. */
    if (openvino.core_compile_model(openvino.core, model->source, "CPU", 6, &variant->compiled,
                                    "NUM_STREAMS", streams, "INFERENCE_NUM_THREADS", threads,
                                    "INFERENCE_PRECISION_HINT", "f32") != 0)
        return openvino_error(error, "the model cannot be compiled");
    return REDISMODULE_OK;
}

static Variant *variant_find(EngineModel *model, const Shape *shapes)
{
    for (Variant **link = &model->variants; *link; link = &(*link)->next) {
        Variant *variant = *link;
        bool same = true;
        for (size_t i = 0; i < model->input_count; i++)
            same = same && shape_equal(shapes[i], variant->shapes[i]);
        if (!same)
            continue;
        *link = variant->next; /* to the front: it is the latest used */
        variant->next = model->variants;
        model->variants = variant;
        return variant;
    }
    return NULL;
}

static Variant *variant_add(EngineModel *model, const Shape *shapes, Error *error)
{
    Variant *variant = RedisModule_Calloc(1, sizeof(*variant));
    variant->shapes = RedisModule_Calloc(model->input_count + 1, sizeof(Shape));
    for (size_t i = 0; i < model->input_count; i++)
        variant->shapes[i] = shape_copy(shapes[i]);
    if (compile(model, variant, error) != REDISMODULE_OK) {
        variant_free(variant, model->input_count);
        return NULL;
    }
    variant->next = model->variants;
    model->variants = variant;
    model->variant_count++;
    return variant;
}

/* Drops the variants that were used longest ago, but none that is running. */
static void variants_trim(EngineModel *model)
{
    size_t kept = 0;
    for (Variant **link = &model->variants; *link;) {
        Variant *variant = *link;
        if (++kept <= MAX_VARIANTS || variant->running) {
            link = &variant->next;
            continue;
        }
        *link = variant->next;
        variant_free(variant, model->input_count);
        model->variant_count--;
    }
}

/* The variant for these shapes and a request on it that no other run has, or NULL. */
static InferRequest *run_begin(EngineModel *model, const Shape *shapes, Variant **variant,
                               Error *error)
{
    InferRequest *request = NULL;
    pthread_mutex_lock(&model->lock);
    *variant = variant_find(model, shapes);
    if (!*variant)
        *variant = variant_add(model, shapes, error);
    if (*variant) {
        request = (*variant)->idle;
        if (request) {
            (*variant)->idle = request->next;
        } else {
            request = RedisModule_Calloc(1, sizeof(*request));
            if (openvino.compiled_model_create_infer_request((*variant)->compiled,
                                                             &request->handle) != 0) {
                openvino_error(error, "the model cannot be run");
                RedisModule_Free(request);
                request = NULL;
            }
        }
    }
    if (request)
        (*variant)->running++;
    variants_trim(model);
    pthread_mutex_unlock(&model->lock);
    return request;
}

static void run_end(EngineModel *model, Variant *variant, InferRequest *request)
{
    pthread_mutex_lock(&model->lock);
    request->next = variant->idle;
    variant->idle = request;
    variant->running--;
    pthread_mutex_unlock(&model->lock);
}

/* ---- running ---- */

static int check_input(const Port *port, const Tensor *tensor, Error *error)
{
    char given[96], wanted[96];
    if (tensor->dtype != port->dtype)
        return error_set(error, "Unexpected input data type for '%.64s'. Actual: %s, expected: %s",
                         port->name, dtype_name(tensor->dtype), dtype_name(port->dtype));
    if (port->any_rank)
        return REDISMODULE_OK;
    bool fits = tensor->shape.rank == port->shape.rank;
    for (size_t d = 0; fits && d < port->shape.rank; d++)
        fits = port->shape.dims[d] < 0 || port->shape.dims[d] == tensor->dims[d];
    if (!fits)
        return error_set(error, "Got invalid dimensions for input: %.64s. Got: %s Expected: %s",
                         port->name, shape_format(tensor->shape, given, sizeof(given)),
                         shape_format(port->shape, wanted, sizeof(wanted)));
    return REDISMODULE_OK;
}

static int check_inputs(const EngineModel *model, const EngineRequest *requests, size_t count,
                        Error *error)
{
    for (size_t i = 0; i < model->input_count; i++) {
        const Port *port = &model->inputs[i];
        for (size_t r = 0; r < count; r++)
            if (check_input(port, requests[r].inputs[i], error) != REDISMODULE_OK)
                return REDISMODULE_ERR;
        if (count > 1 && !port->any_rank && (port->shape.rank == 0 || port->shape.dims[0] >= 0))
            return error_set(error, "input '%.64s' has no free dimension 0 to batch along",
                             port->name);
    }
    return REDISMODULE_OK;
}

/* The one copy of a tensor on its way from the command to the engine. */
static int copy_input(ov_infer_request_t *handle, const Port *port, size_t input,
                      const EngineRequest *requests, size_t count)
{
    ov_tensor_t *tensor = NULL;
    void *data = NULL;
    int failed = openvino.infer_request_get_tensor(handle, port->name, &tensor);
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
    while (done < model->outputs.count && result == REDISMODULE_OK) {
        const char *name = model->outputs.items[done];
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
    Shape *shapes = RedisModule_Calloc(model->input_count + 1, sizeof(Shape));
    for (size_t i = 0; i < model->input_count; i++) {
        shapes[i] = shape_copy(requests[0].inputs[i]->shape);
        if (count > 1)
            shapes[i].dims[0] = -1;
    }
    Variant *variant;
    InferRequest *request = run_begin(model, shapes, &variant, error);
    for (size_t i = 0; i < model->input_count; i++)
        RedisModule_Free(shapes[i].dims);
    RedisModule_Free(shapes);
    if (!request)
        return REDISMODULE_ERR;

    int failed = 0;
    for (size_t i = 0; i < model->input_count && !failed; i++)
        failed = copy_input(request->handle, &model->inputs[i], i, requests, count);
    failed = failed || openvino.infer_request_infer(request->handle);
    int result = failed ? openvino_error(error, "the inference failed")
                        : read_outputs(model, request->handle, requests, count, error);
    run_end(model, variant, request);
    return result;
}

/* ---- loading and freeing ---- */

static void openvino_free(EngineModel *model)
{
    while (model->variants) {
        Variant *variant = model->variants;
        model->variants = variant->next;
        variant_free(variant, model->input_count);
    }
    for (size_t i = 0; i < model->input_count; i++) {
        RedisModule_Free(model->inputs[i].name);
        RedisModule_Free(model->inputs[i].shape.dims);
    }
    RedisModule_Free(model->inputs);
    names_free(&model->outputs);
    if (model->source)
        openvino.model_free(model->source);
    pthread_mutex_destroy(&model->lock);
    RedisModule_Free(model);
}

/* Compiles for one row now, where nothing but the rows is free, so that a model that OpenVINO can
 * read but not run is refused when it is stored, and the first request does not wait. */
static int compile_for_one_row(EngineModel *model, Error *error)
{
    Shape *shapes = RedisModule_Calloc(model->input_count + 1, sizeof(Shape));
    bool known = true;
    for (size_t i = 0; i < model->input_count; i++) {
        shapes[i] = shape_copy(model->inputs[i].shape);
        known = known && !model->inputs[i].any_rank;
        for (size_t d = 0; d < shapes[i].rank; d++) {
            if (d == 0 && shapes[i].dims[d] < 0)
                shapes[i].dims[d] = 1;
            known = known && shapes[i].dims[d] >= 0;
        }
    }
    int result = REDISMODULE_OK;
    if (known && !variant_add(model, shapes, error))
        result = REDISMODULE_ERR;
    for (size_t i = 0; i < model->input_count; i++)
        RedisModule_Free(shapes[i].dims);
    RedisModule_Free(shapes);
    return result;
}

static int openvino_load(const char *blob, size_t bytes, const char *suffix, const char *refusal,
                         Names *inputs, Names *outputs, EngineModel **loaded, Error *error)
{
    if (openvino_open(error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    EngineModel *model = RedisModule_Calloc(1, sizeof(*model));
    pthread_mutex_init(&model->lock, NULL);
    if (read_source(blob, bytes, suffix, refusal, &model->source, error) != REDISMODULE_OK ||
        find_inputs(model, inputs, error) != REDISMODULE_OK ||
        find_outputs(model, outputs, error) != REDISMODULE_OK ||
        compile_for_one_row(model, error) != REDISMODULE_OK) {
        openvino_free(model);
        return REDISMODULE_ERR;
    }
    *loaded = model;
    return REDISMODULE_OK;
}

static int load_tf(const char *blob, size_t bytes, Names *inputs, Names *outputs,
                   EngineModel **model, Error *error)
{
    return openvino_load(blob, bytes, ".pb", "Invalid GraphDef", inputs, outputs, model, error);
}

static int load_tflite(const char *blob, size_t bytes, Names *inputs, Names *outputs,
                       EngineModel **model, Error *error)
{
    return openvino_load(blob, bytes, ".tflite", "Failed to load model from buffer", inputs,
                         outputs, model, error);
}

static int load_onnx(const char *blob, size_t bytes, Names *inputs, Names *outputs,
                     EngineModel **model, Error *error)
{
    return openvino_load(blob, bytes, ".onnx",
                         "Failed to load model because protobuf parsing failed.", inputs, outputs,
                         model, error);
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
