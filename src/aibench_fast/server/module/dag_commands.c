/* AI.DAGRUN, AI.DAGRUN_RO, AI.DAGEXECUTE, AI.DAGEXECUTE_RO:
 *     [LOAD n key...] [PERSIST n key...] [ROUTING key] [TIMEOUT ms] |> step |> step ... */
#include "commands.h"
#include "queue.h"
#include "reply.h"
#include "run_commands.h"
#include "script_commands.h"
#include "tensor_format.h"
#include "tensor_type.h"

typedef struct Dialect {
    const char *command;
    RunDialect run;
    bool read_only;
    int least_arguments;
    const char *too_few;
} Dialect;

typedef struct Parser {
    RedisModuleCtx *ctx;
    const Dialect *dialect;
    Job *job;
    RedisModuleDict *names;      /* of the DAG's tensors: each one's latest slot */
    RedisModuleString **persist; /* borrowed from the command */
    long long persist_count;
    bool routed; /* one of LOAD, PERSIST and ROUTING was there */
} Parser;

/* ---- names ---- */

static size_t write_name(Parser *parser, RedisModuleString *name, Tensor *tensor)
{
    size_t slot = job_add_slot(parser->job, tensor);
    RedisModule_DictReplace(parser->names, name, (void *)slot);
    return slot;
}

static int read_name(Parser *parser, RedisModuleString *name, const char *missing_error,
                     size_t *slot, Error *error)
{
    int missing;
    *slot = (size_t)RedisModule_DictGet(parser->names, name, &missing);
    if (missing)
        return error_set(error, "%s: '%.64s'", missing_error, argument_text(name));
    return REDISMODULE_OK;
}

/* ---- what stands before the first step ---- */

/* `n key...` after a word. */
static int parse_keys(Arguments *arguments, const char *word, const char *use,
                      RedisModuleString ***keys, long long *count, Error *error)
{
    if (arguments_left(arguments) < 2)
        return error_set(error, "ERR missing arguments after %s keyword in DAG command", word);
    if (!arguments_take_integer(arguments, 1, count))
        return error_set(error, "ERR invalid or negative value found in number of keys to %s",
                         word);
    if (*count > arguments_left(arguments))
        return error_set(error,
                         "ERR number of keys to %s does not match the number of given arguments",
                         use);
    *keys = arguments->argv + arguments->next;
    arguments->next += (int)*count;
    return REDISMODULE_OK;
}

static int parse_load(Parser *parser, Arguments *arguments, Error *error)
{
    RedisModuleString **keys;
    long long count;
    if (parse_keys(arguments, "LOAD", "LOAD into DAG", &keys, &count, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    for (long long i = 0; i < count; i++) {
        Tensor *tensor = keyspace_get(parser->ctx, &tensor_kind, keys[i], error);
        if (!tensor)
            return REDISMODULE_ERR;
        write_name(parser, keys[i], tensor_retain(tensor));
    }
    return REDISMODULE_OK;
}

static int parse_persist(Parser *parser, Arguments *arguments, Error *error)
{
    if (parser->dialect->read_only)
        return error_set(error, "ERR PERSIST cannot be specified in a read-only DAG");
    if (parse_keys(arguments, "PERSIST", "PERSIST after DAG execution", &parser->persist,
                   &parser->persist_count, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    RedisModuleDict *seen = RedisModule_CreateDict(NULL);
    int result = REDISMODULE_OK;
    for (long long i = 0; i < parser->persist_count && result == REDISMODULE_OK; i++)
        if (RedisModule_DictSet(seen, parser->persist[i], parser) != REDISMODULE_OK)
            result = error_set(error, "ERR PERSIST keys must be unique");
    RedisModule_FreeDict(NULL, seen);
    return result;
}

static int parse_prelude(Parser *parser, Arguments *arguments, Error *error)
{
    bool timed = false;
    while (arguments_left(arguments) > 0 &&
           !argument_is(arguments->argv[arguments->next], "|>")) {
        int result = REDISMODULE_OK;
        if (arguments_take_word(arguments, "LOAD")) {
            result = parse_load(parser, arguments, error);
            parser->routed = true;
        } else if (!parser->persist && arguments_take_word(arguments, "PERSIST")) {
            result = parse_persist(parser, arguments, error);
            parser->routed = true;
        } else if (arguments_take_word(arguments, "ROUTING")) {
            if (arguments_left(arguments) == 0)
                return error_set(error, "ERR Missing ROUTING value");
            arguments->next++;
            parser->routed = true;
        } else if (!timed && arguments_take_word(arguments, "TIMEOUT")) {
            result = timeout_parse(arguments, &parser->job->deadline_ns, error);
            timed = true;
        } else {
            return error_set(error, "ERR Invalid DAG command. Unexpected argument: %.64s",
                             argument_text(arguments->argv[arguments->next]));
        }
        if (result != REDISMODULE_OK)
            return REDISMODULE_ERR;
    }
    if (parser->dialect->run == DIALECT_MODELEXECUTE && !parser->routed)
        return error_set(error, "ERR AI.DAGEXECUTE and AI.DAGEXECUTE_RO commands must contain at "
                                "least one out of ROUTING, LOAD, PERSIST keywords");
    return REDISMODULE_OK;
}

/* ---- steps ---- */

static int parse_tensorset(Parser *parser, RedisModuleString **argv, int argc, Error *error)
{
    if (argc < 4)
        return error_set(error, "ERR wrong number of arguments for 'AI.TENSORSET' command");
    Tensor *tensor;
    Arguments arguments = {argv, argc, 2};
    if (tensor_parse(parser->ctx, &arguments, &tensor, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    Step *step = job_add_step(parser->job, STEP_TENSORSET);
    step->slots[0] = write_name(parser, argv[1], tensor);
    return REDISMODULE_OK;
}

static int parse_tensorget(Parser *parser, RedisModuleString **argv, int argc, Error *error)
{
    if (argc < 2 || argc > 4)
        return error_set(error, "ERR wrong number of arguments for 'AI.TENSORGET' command");
    Step *step = job_add_step(parser->job, STEP_TENSORGET);
    Arguments arguments = {argv, argc, 2};
    if (tensor_parse_format(&arguments, &step->format, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    return read_name(parser, argv[1], "ERR INPUT key cannot be found in DAG", &step->slots[0],
                     error);
}

static int parse_run(Parser *parser, RedisModuleString **argv, int argc, Error *error)
{
    RunArguments run;
    if (run_parse(parser->ctx, parser->dialect->run, argv, argc, &run, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    if (run.deadline_ns)
        return error_set(error, "ERR TIMEOUT not allowed within a DAG command");
    Step *step = job_add_step(parser->job, STEP_MODELRUN);
    step_set_model(step, run.model);
    for (size_t i = 0; i < run.input_count; i++)
        if (read_name(parser, run.inputs[i], "ERR INPUT key cannot be found in DAG",
                      &step->slots[i], error) != REDISMODULE_OK)
            return REDISMODULE_ERR;
    for (size_t i = 0; i < run.output_count; i++)
        step->slots[run.input_count + i] = write_name(parser, run.outputs[i], NULL);
    return REDISMODULE_OK;
}

/* AI.SCRIPTRUN or AI.SCRIPTEXECUTE, whose key is always empty. */
static int parse_script(Parser *parser, RedisModuleString **argv, int argc, Error *error)
{
    bool execute = parser->dialect->run == DIALECT_MODELEXECUTE;
    if (execute && parser->dialect->read_only)
        return error_set(error,
                         "ERR AI.SCRIPTEXECUTE command cannot be specified in a read-only DAG");
    if (argc < 3)
        return error_set(error, "ERR wrong number of arguments for '%s' command",
                         execute ? "AI.SCRIPTEXECUTE" : "AI.SCRIPTRUN");
    return script_missing(parser->ctx, argv[1], error);
}

static int parse_step(Parser *parser, RedisModuleString **argv, int argc, Error *error)
{
    bool execute = parser->dialect->run == DIALECT_MODELEXECUTE;
    if (argument_is(argv[0], "AI.TENSORSET"))
        return parse_tensorset(parser, argv, argc, error);
    if (argument_is(argv[0], "AI.TENSORGET"))
        return parse_tensorget(parser, argv, argc, error);
    if (argument_is(argv[0], execute ? "AI.MODELEXECUTE" : "AI.MODELRUN"))
        return parse_run(parser, argv, argc, error);
    if (argument_is(argv[0], execute ? "AI.SCRIPTEXECUTE" : "AI.SCRIPTRUN"))
        return parse_script(parser, argv, argc, error);
    for (size_t i = 0; i < 2; i++) {
        static const char *const DEPRECATED[] = {"AI.MODELRUN", "AI.SCRIPTRUN"};
        static const char *const NEW[] = {"AI.MODELEXECUTE", "AI.SCRIPTEXECUTE"};
        if (execute && argument_is(argv[0], DEPRECATED[i]))
            return error_set(error, "Deprecated %s cannot be used in AI.DAGEXECUTE command",
                             DEPRECATED[i]);
        if (!execute && argument_is(argv[0], NEW[i]))
            return error_set(error, "%s cannot be used in a deprecated AI.DAGRUN command", NEW[i]);
    }
    return error_set(error, "Unsupported command within DAG: %.64s", argument_text(argv[0]));
}

/* Reads `|> step |> step ...`, all the arguments that are left. */
static int parse_steps(Parser *parser, Arguments *arguments, Error *error)
{
    if (arguments_left(arguments) == 0)
        return error_set(error, "ERR DAG is empty");
    while (arguments_take_word(arguments, "|>")) {
        RedisModuleString **step = arguments->argv + arguments->next;
        int first = arguments->next;
        while (arguments_left(arguments) > 0 &&
               !argument_is(arguments->argv[arguments->next], "|>"))
            arguments->next++;
        if (arguments->next == first)
            return error_set(error, "ERR Invalid DAG command. Unexpected argument: |>");
        if (parse_step(parser, step, arguments->next - first, error) != REDISMODULE_OK)
            return REDISMODULE_ERR;
    }
    return REDISMODULE_OK;
}

static int parse(Parser *parser, RedisModuleString **argv, int argc, Error *error)
{
    if (argc < parser->dialect->least_arguments)
        return error_set(error, "ERR %s for '%s' command", parser->dialect->too_few,
                         parser->dialect->command);
    Arguments arguments = {argv, argc, 1};
    if (parse_prelude(parser, &arguments, error) != REDISMODULE_OK ||
        parse_steps(parser, &arguments, error) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    for (long long i = 0; i < parser->persist_count; i++) {
        size_t slot;
        if (read_name(parser, parser->persist[i], "ERR PERSIST key cannot be found in DAG", &slot,
                      error) != REDISMODULE_OK)
            return REDISMODULE_ERR;
        job_add_persist(parser->job, parser->persist[i], slot);
    }
    return REDISMODULE_OK;
}

/* ---- the commands ---- */

/* The server asks before it knows whether the arguments are right, so this reads them leniently. */
static void report_keys(RedisModuleCtx *ctx, const Dialect *dialect, RedisModuleString **argv,
                        int argc)
{
    Arguments arguments = {argv, argc, 1};
    while (arguments_left(&arguments) > 0) {
        long long count = 0;
        if (arguments_take_word(&arguments, "LOAD") || arguments_take_word(&arguments, "PERSIST"))
            arguments_take_integer(&arguments, 0, &count);
        else if (arguments_take_word(&arguments, "ROUTING"))
            count = 1;
        else if (arguments_take_word(&arguments, "|>"))
            break;
        else
            arguments.next++;
        for (; count > 0 && arguments_left(&arguments) > 0; count--)
            RedisModule_KeyAtPos(ctx, arguments.next++);
    }
    const char *run = dialect->run == DIALECT_MODELEXECUTE ? "AI.MODELEXECUTE" : "AI.MODELRUN";
    for (int i = arguments.next; i + 1 < argc; i++)
        if (argument_is(argv[i], run) && argument_is(argv[i - 1], "|>"))
            RedisModule_KeyAtPos(ctx, i + 1);
}

static int dag_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc,
                       const Dialect *dialect)
{
    if (RedisModule_IsKeysPositionRequest(ctx)) {
        report_keys(ctx, dialect, argv, argc);
        return REDISMODULE_OK;
    }
    Error error;
    Parser parser = {
        .ctx = ctx,
        .dialect = dialect,
        .job = job_create(true),
        .names = RedisModule_CreateDict(NULL),
    };
    int result = parse(&parser, argv, argc, &error);
    RedisModule_FreeDict(NULL, parser.names);
    if (result != REDISMODULE_OK) {
        job_free(parser.job);
        return reply_error(ctx, argv, 1, error.text);
    }
    return queue_submit(ctx, argv, argc, parser.job);
}

#define WRONG_NUMBER "wrong number of arguments"
#define MISSING "missing arguments"

int dagrun_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    static const Dialect dialect = {"AI.DAGRUN", DIALECT_MODELRUN, false, 4, WRONG_NUMBER};
    return dag_command(ctx, argv, argc, &dialect);
}

int dagrun_ro_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    static const Dialect dialect = {"AI.DAGRUN_RO", DIALECT_MODELRUN, true, 4, WRONG_NUMBER};
    return dag_command(ctx, argv, argc, &dialect);
}

int dagexecute_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    static const Dialect dialect = {"AI.DAGEXECUTE", DIALECT_MODELEXECUTE, false, 6, MISSING};
    return dag_command(ctx, argv, argc, &dialect);
}

int dagexecute_ro_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    static const Dialect dialect = {"AI.DAGEXECUTE_RO", DIALECT_MODELEXECUTE, true, 6, MISSING};
    return dag_command(ctx, argv, argc, &dialect);
}
