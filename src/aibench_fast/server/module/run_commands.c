/* AI.MODELRUN and AI.MODELEXECUTE, as commands and as steps of a DAG. */
#include "run_commands.h"

#include "commands.h"
#include "model_type.h"
#include "queue.h"
#include "reply.h"
#include "tensor_type.h"

#define NS_PER_MS 1000000
#define MAX_TIMEOUT_MS ((long long)1 << 40) /* about 35 years */

int timeout_parse(Arguments *arguments, int64_t *deadline_ns, Error *error)
{
    long long timeout_ms;
    if (arguments_left(arguments) == 0)
        return error_set(error, "ERR No value provided for TIMEOUT");
    if (!arguments_take_integer(arguments, 1, &timeout_ms) || timeout_ms > MAX_TIMEOUT_MS)
        return error_set(error, "ERR Invalid value for TIMEOUT");
    *deadline_ns = monotonic_ns() + timeout_ms * NS_PER_MS;
    return REDISMODULE_OK;
}

/* MODELRUN's keys: `INPUTS key... OUTPUTS key...`, all the arguments that are left. */
static int parse_listed_keys(Arguments *arguments, RunArguments *run, Error *error)
{
    if (!arguments_take_word(arguments, "INPUTS"))
        return error_set(error, "ERR INPUTS not specified");
    run->inputs = arguments->argv + arguments->next;
    while (arguments_left(arguments) > 0 &&
           !argument_is(arguments->argv[arguments->next], "OUTPUTS")) {
        arguments->next++;
        run->input_count++;
    }
    arguments->next++;
    run->outputs = arguments->argv + arguments->next;
    run->output_count = arguments_left(arguments) > 0 ? (size_t)arguments_left(arguments) : 0;
    return REDISMODULE_OK;
}

/* A list of keys, as commands and errors name it. */
typedef struct KeyList {
    const char *word, *title, *what;
} KeyList;

static const KeyList INPUTS = {"INPUTS", "Input", "input"};
static const KeyList OUTPUTS = {"OUTPUTS", "Output", "output"};

static int check_count(const KeyList *list, size_t given, size_t of_model, Error *error)
{
    if (given == of_model)
        return REDISMODULE_OK;
    return error_set(error,
                     "Number of keys given as %s here does not match model definition: %zu were "
                     "given, the model has %zu",
                     list->word, given, of_model);
}

/* One of MODELEXECUTE's lists: `INPUTS count key...`, of as many keys as the model has. */
static int parse_counted_keys(Arguments *arguments, const KeyList *list, size_t of_model,
                              RedisModuleString ***keys, size_t *count, Error *error)
{
    long long given = 0;
    if (!arguments_take_word(arguments, list->word))
        return error_set(error, "ERR %s not specified", list->word);
    if (!arguments_take_integer(arguments, INT64_MIN, &given))
        return error_set(error, "ERR Invalid argument for %s_count", list->what);
    if (given <= 0)
        return error_set(error, "ERR %s count must be a positive integer", list->title);
    if (check_count(list, (size_t)given, of_model, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    if (given > arguments_left(arguments))
        return error_set(error,
                         "ERR number of %s keys to AI.MODELEXECUTE command does not match the "
                         "number of given arguments",
                         list->what);
    *keys = arguments->argv + arguments->next;
    *count = (size_t)given;
    arguments->next += (int)given;
    return REDISMODULE_OK;
}

static int parse_modelrun(Arguments *arguments, RunArguments *run, Error *error)
{
    if (arguments_take_word(arguments, "TIMEOUT") &&
        timeout_parse(arguments, &run->deadline_ns, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    if (parse_listed_keys(arguments, run, error) != REDISMODULE_OK ||
        check_count(&INPUTS, run->input_count, run->model->inputs.count, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    return check_count(&OUTPUTS, run->output_count, run->model->outputs.count, error);
}

static int parse_modelexecute(Arguments *arguments, RunArguments *run, Error *error)
{
    if (parse_counted_keys(arguments, &INPUTS, run->model->inputs.count, &run->inputs,
                           &run->input_count, error) != REDISMODULE_OK ||
        parse_counted_keys(arguments, &OUTPUTS, run->model->outputs.count, &run->outputs,
                           &run->output_count, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    if (arguments_take_word(arguments, "TIMEOUT") &&
        timeout_parse(arguments, &run->deadline_ns, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    if (arguments_left(arguments) > 0)
        return error_set(error, "Invalid argument: %.64s",
                         argument_text(arguments->argv[arguments->next]));
    return REDISMODULE_OK;
}

int run_parse(RedisModuleCtx *ctx, RunDialect dialect, RedisModuleString **argv, int argc,
              RunArguments *run, Error *error)
{
    bool execute = dialect == DIALECT_MODELEXECUTE;
    *run = (RunArguments){0};
    if (argc < (execute ? 8 : 6))
        return error_set(error, "ERR wrong number of arguments for '%s' command",
                         execute ? "AI.MODELEXECUTE" : "AI.MODELRUN");
    run->model = keyspace_get(ctx, &model_kind, argv[1], error);
    if (!run->model)
        return REDISMODULE_ERR;
    Arguments arguments = {argv, argc, 2};
    return execute ? parse_modelexecute(&arguments, run, error)
                   : parse_modelrun(&arguments, run, error);
}

/* Adds the run to a job of its own, with its inputs from the keyspace and its outputs to it. */
static int build(RedisModuleCtx *ctx, const RunArguments *run, Job *job, Error *error)
{
    Step *step = job_add_step(job, STEP_MODELRUN);
    step_set_model(step, run->model);
    job->deadline_ns = run->deadline_ns;
    for (size_t i = 0; i < run->input_count; i++) {
        Tensor *tensor = keyspace_get(ctx, &tensor_kind, run->inputs[i], error);
        if (!tensor)
            return REDISMODULE_ERR;
        step->slots[i] = job_add_slot(job, tensor_retain(tensor));
    }
    for (size_t i = 0; i < run->output_count; i++) {
        size_t slot = job_add_slot(job, NULL);
        step->slots[run->input_count + i] = slot;
        job_add_persist(job, run->outputs[i], slot);
    }
    return REDISMODULE_OK;
}

static int run_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc, RunDialect dialect)
{
    if (RedisModule_IsKeysPositionRequest(ctx)) {
        run_report_keys(ctx, dialect, argv, argc);
        return REDISMODULE_OK;
    }
    Error error;
    RunArguments run;
    if (run_parse(ctx, dialect, argv, argc, &run, &error) != REDISMODULE_OK)
        return reply_error(ctx, argv, argc, error.text);
    Job *job = job_create(false);
    if (build(ctx, &run, job, &error) != REDISMODULE_OK) {
        job_free(job);
        return reply_error(ctx, argv, argc, error.text);
    }
    return queue_submit(ctx, argv, argc, job);
}

int modelrun_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    return run_command(ctx, argv, argc, DIALECT_MODELRUN);
}

int modelexecute_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    return run_command(ctx, argv, argc, DIALECT_MODELEXECUTE);
}

/* The server asks before it knows whether the arguments are right, so this reads them leniently. */
void run_report_keys(RedisModuleCtx *ctx, RunDialect dialect, RedisModuleString **argv, int argc)
{
    if (argc > 1)
        RedisModule_KeyAtPos(ctx, 1);
    for (int i = 2; i < argc; i++) {
        bool counted = dialect == DIALECT_MODELEXECUTE;
        if (argument_is(argv[i], "INPUTS") || argument_is(argv[i], "OUTPUTS"))
            i += counted;
        else if (argument_is(argv[i], "TIMEOUT"))
            i++;
        else
            RedisModule_KeyAtPos(ctx, i);
    }
}
