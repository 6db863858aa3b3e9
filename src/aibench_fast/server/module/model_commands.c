/* AI.MODELSET, AI.MODELSTORE, AI.MODELGET, AI.MODELDEL, AI._MODELSCAN. */
#include <ctype.h>
#include <string.h>

#include "arguments.h"
#include "commands.h"
#include "config.h"
#include "model_type.h"
#include "reply.h"

/* ---- storing ---- */

/* CPU or GPU, in any case, with or without `:number`. */
static bool is_device(const char *text)
{
    if (strncasecmp(text, "CPU", 3) != 0 && strncasecmp(text, "GPU", 3) != 0)
        return false;
    if (text[3] == '\0')
        return true;
    if (text[3] != ':' || text[4] == '\0' || strlen(text) > 10)
        return false;
    for (const char *c = text + 4; *c; c++)
        if (!isdigit((unsigned char)*c))
            return false;
    return true;
}

static int parse_device(Arguments *arguments, const char *refusal, ModelSpec *spec, Error *error)
{
    spec->device = argument_text(arguments->argv[arguments->next++]);
    if (!is_device(spec->device))
        return error_set(error, "%s", refusal);
    if (strncasecmp(spec->device, "GPU", 3) == 0)
        return error_set(error, "ERR GPU requested but the embedded server computes on the CPU "
                                "alone: use CPU");
    return REDISMODULE_OK;
}

static int parse_limits(Arguments *arguments, ModelSpec *spec, Error *error)
{
    BatchLimits *limits = &spec->limits;
    if (arguments_take_word(arguments, "BATCHSIZE")) {
        if (!arguments_take_integer(arguments, 0, &limits->batch_size))
            return error_set(error, "ERR Invalid argument for BATCHSIZE");
        if (!spec->engine->batches && limits->batch_size > 0)
            return error_set(error, "ERR Auto-batching not supported by the %s backend",
                             spec->engine->backend);
    }
    if (arguments_take_word(arguments, "MINBATCHSIZE")) {
        if (!arguments_take_integer(arguments, 0, &limits->min_batch_size))
            return error_set(error, "ERR Invalid argument for MINBATCHSIZE");
        if (limits->batch_size == 0 && limits->min_batch_size > 0)
            return error_set(error, "ERR MINBATCHSIZE specified without BATCHSIZE");
    }
    if (arguments_take_word(arguments, "MINBATCHTIMEOUT")) {
        if (!arguments_take_integer(arguments, 0, &limits->min_batch_timeout_ms))
            return error_set(error, "ERR Invalid argument for MINBATCHTIMEOUT");
        if (limits->min_batch_size == 0 && limits->min_batch_timeout_ms > 0)
            return error_set(error, "ERR MINBATCHTIMEOUT specified without MINBATCHSIZE");
    }
    return REDISMODULE_OK;
}

/* The device, the tag and the limits, which both commands have in the same place. */
static int parse_options(Arguments *arguments, const char *device_refusal, ModelSpec *spec,
                         Error *error)
{
    const char *backend = argument_text(arguments->argv[arguments->next++]);
    spec->engine = engine_find(backend);
    if (!spec->engine)
        return error_set(error, "%s", engine_absence(backend));
    if (parse_device(arguments, device_refusal, spec, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    spec->tag = "";
    if (arguments_take_word(arguments, "TAG")) {
        if (arguments_left(arguments) == 0)
            return error_set(error, "ERR Insufficient arguments, missing model TAG");
        spec->tag = argument_text(arguments->argv[arguments->next++]);
    }
    return parse_limits(arguments, spec, error);
}

/* AI.MODELSET's names: `INPUTS a b OUTPUTS c`, up to BLOB or the end. */
static int parse_listed_names(Arguments *arguments, ModelSpec *spec, Error *error)
{
    bool none = arguments_left(arguments) == 0 ||
                argument_is(arguments->argv[arguments->next], "BLOB");
    if (none && spec->engine->named)
        return error_set(error,
                         "ERR Insufficient arguments, INPUTS and OUTPUTS not specified");
    if (none)
        return REDISMODULE_OK;
    if (!arguments_take_word(arguments, "INPUTS"))
        return error_set(error, "ERR INPUTS not specified");
    Names *names = &spec->inputs;
    while (arguments_left(arguments) > 0 &&
           !argument_is(arguments->argv[arguments->next], "BLOB")) {
        if (names == &spec->inputs && arguments_take_word(arguments, "OUTPUTS"))
            names = &spec->outputs;
        else
            names_add(names, argument_text(arguments->argv[arguments->next++]));
    }
    if (names == &spec->inputs)
        return error_set(error, "ERR OUTPUTS not specified");
    if (spec->inputs.count == 0 || spec->outputs.count == 0)
        return error_set(error, "ERR INPUTS and OUTPUTS need a name each, at least");
    if (!spec->engine->named && !spec->engine->blobless) {
        /* The model itself names them; RedisAI lets names through here all the same. */
        names_free(&spec->inputs);
        names_free(&spec->outputs);
    }
    return REDISMODULE_OK;
}

static int parse_counted(Arguments *arguments, const char *what, Names *names, Error *error)
{
    long long count;
    if (!arguments_take_integer(arguments, 1, &count))
        return error_set(error, "ERR Invalid argument for %s_count", what);
    if (arguments_left(arguments) < count)
        return error_set(error,
                         "ERR number of model %ss does not match the number of given arguments",
                         what);
    for (long long i = 0; i < count; i++)
        names_add(names, argument_text(arguments->argv[arguments->next++]));
    return REDISMODULE_OK;
}

/* AI.MODELSTORE's names: `INPUTS 2 a b OUTPUTS 1 c`. */
static int parse_counted_names(Arguments *arguments, ModelSpec *spec, Error *error)
{
    if (!arguments_take_word(arguments, "INPUTS"))
        return spec->engine->named
                   ? error_set(error, "ERR INPUTS not specified for %s", spec->engine->backend)
                   : REDISMODULE_OK;
    if (!spec->engine->named && !spec->engine->blobless)
        return error_set(error, "ERR INPUTS argument should not be specified for this backend");
    if (parse_counted(arguments, "input", &spec->inputs, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    if (!arguments_take_word(arguments, "OUTPUTS"))
        return error_set(error, "ERR OUTPUTS not specified for %s", spec->engine->backend);
    return parse_counted(arguments, "output", &spec->outputs, error);
}

/* `BLOB chunk...`, all the arguments that are left. */
static int parse_blob(RedisModuleCtx *ctx, Arguments *arguments, const char *refusal,
                      ModelSpec *spec, Error *error)
{
    if (!arguments_take_word(arguments, "BLOB")) {
        if (arguments_left(arguments) > 0 || !spec->engine->blobless)
            return error_set(error, "%s", refusal);
        spec->blob = blob_create(0);
        return REDISMODULE_OK;
    }
    int chunks = arguments_left(arguments);
    if (chunks == 0 && !spec->engine->blobless)
        return error_set(error, "ERR Insufficient arguments, missing model BLOB");
    RedisModuleString **chunk = arguments->argv + arguments->next;
    if (chunks == 1) {
        spec->blob = blob_hold(ctx, chunk[0]);
        return REDISMODULE_OK;
    }
    size_t total = 0, bytes;
    for (int i = 0; i < chunks; i++) {
        RedisModule_StringPtrLen(chunk[i], &bytes);
        total += bytes;
    }
    spec->blob = blob_create(total);
    char *end = (char *)spec->blob.data;
    for (int i = 0; i < chunks; i++) {
        const char *data = RedisModule_StringPtrLen(chunk[i], &bytes);
        memcpy(end, data, bytes);
        end += bytes;
    }
    return REDISMODULE_OK;
}

/* Makes the model and puts it under the key argv[1]; the spec is used up. */
static int store(RedisModuleCtx *ctx, RedisModuleString **argv, int argc, ModelSpec *spec)
{
    Error error;
    Model *model = model_create(spec, &error);
    if (!model)
        return reply_error(ctx, argv, argc, error.text);
    if (model_store(ctx, argv[1], model, &error) != REDISMODULE_OK) {
        model_release(model);
        return reply_error(ctx, argv, argc, error.text);
    }
    RedisModule_ReplicateVerbatim(ctx);
    return RedisModule_ReplyWithSimpleString(ctx, "OK");
}

static int refuse(RedisModuleCtx *ctx, RedisModuleString **argv, int argc, ModelSpec *spec,
                  const Error *error)
{
    names_free(&spec->inputs);
    names_free(&spec->outputs);
    return reply_error(ctx, argv, argc, error->text);
}

/* AI.MODELSET key backend device [TAG t] [BATCHSIZE n [MINBATCHSIZE m [MINBATCHTIMEOUT ms]]]
 *     [INPUTS name... OUTPUTS name...] BLOB chunk... */
int modelset_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    if (argc < 4)
        return RedisModule_WrongArity(ctx);
    Error error;
    ModelSpec spec = {0};
    Arguments arguments = {argv, argc, 2};
    if (parse_options(&arguments, "ERR unsupported device", &spec, &error) != REDISMODULE_OK ||
        parse_listed_names(&arguments, &spec, &error) != REDISMODULE_OK ||
        parse_blob(ctx, &arguments, "ERR Insufficient arguments, missing model BLOB", &spec,
                   &error) != REDISMODULE_OK)
        return refuse(ctx, argv, argc, &spec, &error);
    return store(ctx, argv, argc, &spec);
}

/* AI.MODELSTORE key backend device [TAG t] [BATCHSIZE n [MINBATCHSIZE m [MINBATCHTIMEOUT ms]]]
 *     [INPUTS count name... OUTPUTS count name...] BLOB chunk... */
int modelstore_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    /* NULL, which RedisAI does not have, needs no BLOB. */
    if (argc < 4 || (argc < 6 && !argument_is(argv[2], "NULL")))
        return RedisModule_WrongArity(ctx);
    Error error;
    ModelSpec spec = {0};
    Arguments arguments = {argv, argc, 2};
    if (parse_options(&arguments, "ERR Invalid DEVICE", &spec, &error) != REDISMODULE_OK ||
        parse_counted_names(&arguments, &spec, &error) != REDISMODULE_OK ||
        parse_blob(ctx, &arguments, "ERR Invalid argument, expected BLOB", &spec, &error) !=
            REDISMODULE_OK)
        return refuse(ctx, argv, argc, &spec, &error);
    return store(ctx, argv, argc, &spec);
}

/* ---- reading ---- */

static void reply_names(RedisModuleCtx *ctx, const char *word, const Names *names)
{
    RedisModule_ReplyWithCString(ctx, word);
    RedisModule_ReplyWithArray(ctx, (long)names->count);
    for (size_t i = 0; i < names->count; i++)
        RedisModule_ReplyWithCString(ctx, names->items[i]);
}

static void reply_meta(RedisModuleCtx *ctx, const Model *model)
{
    reply_model_identity(ctx, model);
    RedisModule_ReplyWithCString(ctx, "batchsize");
    RedisModule_ReplyWithLongLong(ctx, model->limits.batch_size);
    RedisModule_ReplyWithCString(ctx, "minbatchsize");
    RedisModule_ReplyWithLongLong(ctx, model->limits.min_batch_size);
    reply_names(ctx, "inputs", &model->inputs);
    reply_names(ctx, "outputs", &model->outputs);
    RedisModule_ReplyWithCString(ctx, "minbatchtimeout");
    RedisModule_ReplyWithLongLong(ctx, model->limits.min_batch_timeout_ms);
}

/* One string, or an array of chunks from MODEL_CHUNK_SIZE bytes on; the last may be empty, as
 * RedisAI's is. */
static void reply_blob(RedisModuleCtx *ctx, const Blob *blob)
{
    size_t chunk = (size_t)config.model_chunk_bytes;
    size_t count = blob->bytes / chunk + 1;
    if (count > 1)
        RedisModule_ReplyWithArray(ctx, (long)count);
    for (size_t i = 0; i < count; i++) {
        size_t bytes = i + 1 < count ? chunk : blob->bytes % chunk;
        RedisModule_ReplyWithStringBuffer(ctx, blob->data + i * chunk, bytes);
    }
}

/* AI.MODELGET key [META] [BLOB] */
int modelget_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    if (argc < 2 || argc > 4)
        return RedisModule_WrongArity(ctx);
    Error error;
    const Model *model = keyspace_get(ctx, &model_kind, argv[1], &error);
    if (!model)
        return reply_error(ctx, argv, argc, error.text);
    bool meta = false, blob = false;
    for (int i = 2; i < argc; i++) {
        meta = meta || argument_is(argv[i], "META");
        blob = blob || argument_is(argv[i], "BLOB");
    }
    bool neither = !meta && !blob; /* means both */
    if (meta || neither) {
        RedisModule_ReplyWithArray(ctx, blob || neither ? 18 : 16);
        reply_meta(ctx, model);
        if (blob || neither)
            RedisModule_ReplyWithCString(ctx, "blob");
    }
    if (blob || neither)
        reply_blob(ctx, &model->blob);
    return REDISMODULE_OK;
}

int modeldel_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    if (argc != 2)
        return RedisModule_WrongArity(ctx);
    Error error;
    if (!keyspace_get(ctx, &model_kind, argv[1], &error))
        return reply_error(ctx, argv, argc, error.text);
    keyspace_delete(ctx, argv[1]);
    RedisModule_ReplicateVerbatim(ctx);
    return RedisModule_ReplyWithSimpleString(ctx, "OK");
}

int modelscan_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    (void)argv;
    if (argc != 1)
        return RedisModule_WrongArity(ctx);
    ModelList models = models_list();
    RedisModule_ReplyWithArray(ctx, (long)models.count);
    for (size_t i = 0; i < models.count; i++) {
        RedisModule_ReplyWithArray(ctx, 2);
        RedisModule_ReplyWithCString(ctx, models.items[i]->key);
        RedisModule_ReplyWithCString(ctx, models.items[i]->tag);
    }
    models_release(&models);
    return REDISMODULE_OK;
}
