#include "engine.h"

#include <strings.h>

static const Engine *const ENGINES[] = {
    &engine_openvino_tf,
    &engine_openvino_tflite,
    &engine_openvino_onnx,
    &engine_null,
};

const Engine *engine_find(const char *backend)
{
    for (size_t i = 0; i < sizeof(ENGINES) / sizeof(ENGINES[0]); i++)
        if (strcasecmp(backend, ENGINES[i]->backend) == 0)
            return ENGINES[i];
    return NULL;
}

const char *engine_absence(const char *backend)
{
    if (strcasecmp(backend, "TORCH") == 0)
        return "ERR Could not load backend: the embedded server has no TORCH; use TF, TFLITE, ONNX "
               "or NULL";
    return "ERR unsupported backend";
}

void names_add(Names *names, const char *name)
{
    names->items =
        RedisModule_Realloc(names->items, (names->count + 1) * sizeof(names->items[0]));
    names->items[names->count++] = RedisModule_Strdup(name);
}

void names_free(Names *names)
{
    for (size_t i = 0; i < names->count; i++)
        RedisModule_Free(names->items[i]);
    RedisModule_Free(names->items);
    *names = (Names){0};
}
