#include "openvino_source.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef ov_status_e (*PortByIndex)(const ov_model_t *, size_t, ov_output_const_port_t **);
typedef ov_status_e (*PortByName)(const ov_model_t *, const char *, ov_output_const_port_t **);

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

/* OpenVINO's own words, unless they are about our file and not about the model. */
static int refuse(const SourceFormat *format, size_t bytes, const char *path, Error *error)
{
    openvino_error(error, format->refusal);
    if (!path || strstr(error->text, path))
        error_set(error, "%s: these %zu bytes are not a complete %s file", format->refusal, bytes,
                  format->suffix);
    return REDISMODULE_ERR;
}

/* Through a file: the readers of two of the three formats accept nothing else, and go by the file's
 * suffix. */
static int read_file(const SourceFormat *format, const char *blob, size_t bytes,
                     ov_model_t **model, Error *error)
{
    char path[256];
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof(path), "%s/aimodel-XXXXXX%s", folder && *folder ? folder : "/tmp",
             format->suffix);
    int file = mkostemps(path, (int)strlen(format->suffix), O_CLOEXEC);
    if (file < 0)
        return error_set(error, "ERR cannot write the model to a temporary file %s: %m", path);
    int result = REDISMODULE_OK;
    if (write_all(file, blob, bytes) != REDISMODULE_OK)
        result = error_set(error, "ERR cannot write the model to a temporary file %s: %m", path);
    else if (openvino.core_read_model(openvino.core, path, NULL, model) != 0)
        result = refuse(format, bytes, path, error);
    close(file);
    unlink(path);
    return result;
}

/* Finds a port by the name that a client gives: the tensor's, or, as in TensorFlow, its node's, whose
 * first tensor is "node:0". The tensor's name is to be freed with RedisModule_Free. */
static int find_port(const ov_model_t *model, PortByName port_by_name, const char *name,
                     ov_output_const_port_t **port, char **tensor_name)
{
    size_t bytes = strlen(name) + sizeof(":0");
    *tensor_name = RedisModule_Alloc(bytes);
    snprintf(*tensor_name, bytes, "%s", name);
    if (port_by_name(model, *tensor_name, port) == 0)
        return REDISMODULE_OK;
    snprintf(*tensor_name, bytes, "%s:0", name);
    if (port_by_name(model, *tensor_name, port) == 0)
        return REDISMODULE_OK;
    RedisModule_Free(*tensor_name);
    return REDISMODULE_ERR;
}

static int describe_input(const ov_output_const_port_t *port, const char *name, SourceInput *input,
                          Error *error)
{
    ov_element_type_e element_type;
    ov_partial_shape_t partial;
    if (openvino.port_get_element_type(port, &element_type) != 0 ||
        openvino.port_get_partial_shape(port, &partial) != 0)
        return openvino_error(error, "cannot read the model's inputs");
    input->any_rank = partial.rank.min != partial.rank.max;
    input->shape.rank = input->any_rank ? 0 : (size_t)partial.rank.min;
    input->shape.dims = RedisModule_Alloc(input->shape.rank * sizeof(int64_t) + 1);
    for (size_t i = 0; i < input->shape.rank; i++)
        input->shape.dims[i] =
            partial.dims[i].min == partial.dims[i].max ? partial.dims[i].min : -1;
    openvino.partial_shape_free(&partial);
    if (!openvino_dtype(element_type, &input->dtype))
        return error_set(error, "input '%.64s' is of a type that tensors cannot have", name);
    return REDISMODULE_OK;
}

/* Adds the name of every port to a list. */
static int list_ports(const ov_model_t *model, size_t count, PortByIndex port_by_index,
                      Names *names, Error *error)
{
    for (size_t i = 0; i < count; i++) {
        ov_output_const_port_t *port = NULL;
        char *name = NULL;
        int failed = port_by_index(model, i, &port) || openvino.port_get_any_name(port, &name);
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

static int find_inputs(Source *source, Names *names, Error *error)
{
    size_t count;
    if (openvino.model_inputs_size(source->handle, &count) != 0)
        return openvino_error(error, "cannot read the model's inputs");
    if (names->count == 0 && list_ports(source->handle, count, openvino.model_const_input_by_index,
                                        names, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    if (names->count != count || count == 0)
        return error_set(error, "ERR the model has %zu inputs, and %zu are named", count,
                         names->count);
    source->inputs = RedisModule_Calloc(count, sizeof(source->inputs[0]));
    for (size_t i = 0; i < count; i++) {
        SourceInput *input = &source->inputs[i];
        ov_output_const_port_t *port;
        if (find_port(source->handle, openvino.model_const_input_by_name, names->items[i], &port,
                      &input->tensor_name) != REDISMODULE_OK)
            return error_set(error, "ERR Input node named \"%.64s\" not found in TF graph.",
                             names->items[i]);
        source->input_count++;
        int result = describe_input(port, names->items[i], input, error);
        openvino.output_const_port_free(port);
        if (result != REDISMODULE_OK)
            return REDISMODULE_ERR;
    }
    return REDISMODULE_OK;
}

static int find_outputs(Source *source, Names *names, Error *error)
{
    size_t count;
    if (openvino.model_outputs_size(source->handle, &count) != 0)
        return openvino_error(error, "cannot read the model's outputs");
    if (names->count == 0 &&
        list_ports(source->handle, count, openvino.model_const_output_by_index, names, error) !=
            REDISMODULE_OK)
        return REDISMODULE_ERR;
    if (names->count == 0)
        return error_set(error, "ERR the model has no outputs");
    for (size_t i = 0; i < names->count; i++) {
        ov_output_const_port_t *port;
        char *tensor_name;
        if (find_port(source->handle, openvino.model_const_output_by_name, names->items[i], &port,
                      &tensor_name) != REDISMODULE_OK)
            return error_set(error, "ERR Output node named \"%.64s\" not found in TF graph",
                             names->items[i]);
        names_add(&source->output_tensors, tensor_name);
        RedisModule_Free(tensor_name);
        openvino.output_const_port_free(port);
    }
    return REDISMODULE_OK;
}

int source_read(const SourceFormat *format, const char *blob, size_t bytes, Names *inputs,
                Names *outputs, Source *source, Error *error)
{
    *source = (Source){0};
    if (openvino_open(error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    if (!format->matches(blob, bytes))
        return refuse(format, bytes, NULL, error);
    if (read_file(format, blob, bytes, &source->handle, error) != REDISMODULE_OK ||
        find_inputs(source, inputs, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    return find_outputs(source, outputs, error);
}

void source_free(Source *source)
{
    for (size_t i = 0; i < source->input_count; i++) {
        RedisModule_Free(source->inputs[i].tensor_name);
        RedisModule_Free(source->inputs[i].shape.dims);
    }
    RedisModule_Free(source->inputs);
    names_free(&source->output_tensors);
    if (source->handle)
        openvino.model_free(source->handle);
}

int source_check_input(const SourceInput *input, const Tensor *tensor, Error *error)
{
    char given[96], wanted[96];
    if (tensor->dtype != input->dtype)
        return error_set(error, "Unexpected input data type for '%.64s'. Actual: %s, expected: %s",
                         input->tensor_name, dtype_name(tensor->dtype), dtype_name(input->dtype));
    if (input->any_rank)
        return REDISMODULE_OK;
    bool fits = tensor->shape.rank == input->shape.rank;
    for (size_t d = 0; fits && d < input->shape.rank; d++)
        fits = input->shape.dims[d] < 0 || input->shape.dims[d] == tensor->dims[d];
    if (!fits)
        return error_set(error, "Got invalid dimensions for input: %.64s. Got: %s Expected: %s",
                         input->tensor_name, shape_format(tensor->shape, given, sizeof(given)),
                         shape_format(input->shape, wanted, sizeof(wanted)));
    return REDISMODULE_OK;
}

int source_reshape(const Source *source, const Shape *shapes, Error *error)
{
    size_t count = source->input_count;
    const char **names = RedisModule_Alloc(count * sizeof(*names));
    ov_partial_shape_t *partials = RedisModule_Calloc(count, sizeof(*partials));
    for (size_t i = 0; i < count; i++) {
        int64_t rank = (int64_t)shapes[i].rank;
        names[i] = source->inputs[i].tensor_name;
        partials[i].rank = (ov_dimension_t){rank, rank};
        partials[i].dims = RedisModule_Alloc(shapes[i].rank * sizeof(ov_dimension_t) + 1);
        for (size_t d = 0; d < shapes[i].rank; d++) {
            int64_t dim = shapes[i].dims[d];
            partials[i].dims[d] = dim < 0 ? (ov_dimension_t){0, -1} : (ov_dimension_t){dim, dim};
        }
    }
    int failed = openvino.model_reshape(source->handle, names, partials, count);
    for (size_t i = 0; i < count; i++)
        RedisModule_Free(partials[i].dims);
    RedisModule_Free(partials);
    RedisModule_Free(names);
    return failed ? openvino_error(error, "the model does not take these shapes") : REDISMODULE_OK;
}
