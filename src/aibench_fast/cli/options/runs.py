"""Options that a run, a sweep and a search have, and the settings of a run made from them."""

import argparse
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from aibench_fast.cli.options.parser import (
    REPEATED,
    add_all,
    burn_in,
    by_name,
    number_range,
    shape,
    statuses,
)
from aibench_fast.cli.options.secrets import header_files, read_headers, without_secrets
from aibench_fast.cli.options.server import check_embedded, located, other_urls
from aibench_fast.errors import ConfigError
from aibench_fast.files import Named
from aibench_fast.load.config import (
    ARRIVALS,
    DEFAULT_JSON_BYTES,
    DEFAULT_MODEL,
    ON_DISCONNECT,
    ON_LAG,
    RunConfig,
)
from aibench_fast.load.kinds import IMAGE_SHAPE, read_input, read_mix
from aibench_fast.protocols.anyhttp.settings import METHODS, Reply
from aibench_fast.protocols.openai.settings import Api, StreamEnd
from aibench_fast.protocols.openinference.settings import SharedMemory
from aibench_fast.protocols.redisai.commands import Dialect
from aibench_fast.protocols.settings import LEAST_PATIENCE_S, Encoding
from aibench_fast.studies.servers import (
    EMBEDDED,
    EMBEDDED_TOKENS_LENGTHS,
    EMBEDDED_TRITON_URLS,
    embedded_url,
)
from aibench_fast.tensortype import DTYPES, canonical
from aibench_fast.units import described_size

if TYPE_CHECKING:
    from distributed import Client

_OF_PROMPTS = ("prompts", "prompt_tokens", "trace")
LENGTHS = {
    "--prompt-tokens": "draw prompts of about N tokens from --seed instead, or of lengths spread "
    "evenly from LOW to HIGH; no two are the same",
    "--output-tokens": "ask for N tokens at most, unless a line of --prompts has max_tokens; with "
    "--prompt-tokens LOW-HIGH draws it for each",
}
"""The help of the lengths of prompts and answers."""


def add_request_options(parser: argparse.ArgumentParser, *, in_grid: bool = False) -> None:
    """Add the options for what is sent; `in_grid` without the lengths, which are axes then."""
    usual = "; tokens without prompts: of {prompt_tokens} tokens, asking for {output_tokens}"
    more = "" if in_grid else usual.format(**EMBEDDED_TOKENS_LENGTHS)
    add_all(
        parser.add_argument_group("Request"),
        {
            "--file FILE": "send the tensors of this file: one after another, of --shape and "
            "--dtype; for shards, the name of the whole; for strings, a text file with one per "
            "line, or .jsonl (default: generate tensors of --shape)",
            "--shape N,...": "set the shape of one tensor, without the batch, such as 16 or "
            f"224,224,3 (default with --file: {','.join(map(str, IMAGE_SHAPE))})",
            "--dtype DTYPE": f"set the data type: {', '.join(DTYPES)} (default: FLOAT, or with "
            "--url the model's)",
            "--input NAME:DTYPE:SHAPE[=FILE]": "send one of several inputs, from a file or "
            "generated; repeat it for each input",
            "--output NAME": "request this output, by its name, or with RedisAI by its number from "
            "1; can be repeated (default: all outputs)",
            "--model MODEL": "run the model with this key or name (default: %(default)s; with "
            "prompts, the server's only one)",
            "--model-version V": "with --url: run this version (default: the server's choice)",
            "--encoding": "over HTTP: send tensors in this form; auto is binary, or JSON if the "
            "server refuses that (default: auto)",
            "--shared-memory": "with --url: put the inputs, or all tensors, into shared memory "
            "that a Triton on this machine maps (without a value: inputs)",
            "--stream": "over gRPC: send all requests of a connection in one call, Triton's "
            "ModelStreamInfer; a decoupled model replies to each several times or never",
            "--json-memory SIZE": "use at most this memory for tensors in JSON or of strings; if "
            "not all fit, the first ones are cycled (default: "
            f"{described_size(DEFAULT_JSON_BYTES)})",
            "--mix FILE": "send a request mix, drawn by weight and --seed: a TOML file of "
            "[[request]] tables with model, file, shape, dtype, batch-size, weight or inputs; or "
            "of prompts with model, prompts, prompt-tokens, output-tokens, tokenizer or weight",
            "--use-dag true|false": "send each request as one DAG instead of three commands",
            "--persist-results true|false": "leave the outputs on the server",
            "--dialect": "run models with AI.MODELRUN or AI.MODELEXECUTE; auto uses the newest "
            "that the server knows (default: modelrun, which every RedisAI knows)",
            "--timeout-ms MS": "set the server's timeout for a request in its queue (RedisAI 1.2.1 "
            "and later)",
            "--verify FILE": "compare every output with the one in this file: float32, in the "
            "order of --file",
            "--tolerance X": "allow this absolute difference in --verify (default: 1e-4)",
            "--embedded": "start a server for the run and stop it afterwards: with MobileNet V1, "
            f"or tokens, whose times are simulated (without a name: {EMBEDDED[0]}{more})",
            "--protocol": "with --embedded triton: use it over HTTP or gRPC (default: http)",
            "--seed S": "generate tensors or draw prompts from this seed; with --file, begin with "
            "the tensor that it selects (default: 0, the first one)",
        },
        RunConfig,
        shape={"type": shape},
        dtype={"type": canonical},
        input={"dest": "inputs", **REPEATED},
        output={"dest": "outputs", **REPEATED},
        encoding={"choices": ["auto", *Encoding], "default": "auto"},
        shared_memory={"nargs": "?", "choices": SharedMemory, "const": SharedMemory.INPUTS},
        mix={"default": None},
        dialect={"choices": ["auto", *Dialect]},
        verify={"dest": "reference_file"},
        tolerance={"default": None},
        embedded={"nargs": "?", "choices": EMBEDDED, "const": EMBEDDED[0]},
        protocol={"choices": [*EMBEDDED_TRITON_URLS]},
    )
    add_all(
        parser.add_argument_group("Any HTTP endpoint"),
        {
            "--body FILE|FOLDER|LINES.jsonl": "with --url: send each file of a folder, or each "
            "line of a .jsonl file, as the body of a request to the URL's path, whatever serves it",
            "--content-type TYPE": "set the type of each --body (default: application/json for "
            ".json and .jsonl, else application/octet-stream)",
            "--method": "set the method of requests with --body, or send GET without one (default: "
            "POST)",
            "--success STATUS,...": "with --body: count these HTTP statuses as successes (default: "
            "200 to 299)",
            "--reply": "with --body: what the body of a success has to be; same-size is that of "
            "the first reply (default: any)",
        },
        RunConfig,
        method={"choices": METHODS},
        success={"type": statuses},
        reply={"choices": Reply},
    )
    lengths = {f"{name} N|LOW-HIGH": text for name, text in LENGTHS.items() if not in_grid}
    add_all(
        parser.add_argument_group("Streams of tokens"),
        {
            "--prompts FILE.jsonl": "with --url .../v1/chat/completions or .../v1/completions: "
            "send each line's messages, prompt or text, and read the streams of tokens; lines with "
            "equal session are turns of a conversation and go in order, with answer as recorded "
            "and delay_ms before a turn",
            **lengths,
            "--tokenizer FILE|FOLDER": "make --prompt-tokens, or the lengths of --trace, exact by "
            "this tokenizer.json, without special tokens and the chat's template",
            "--first-token-timeout TIME": "with prompts: end a stream that has no token after this "
            "time, and count it as failed (default: no limit but --dial-read-timeout)",
            "--token-timeout TIME": "with prompts: end a stream that pauses for longer between two "
            "tokens, and count it as failed (default: no limit but --dial-read-timeout)",
            "--min-tokens N": "with prompts: count a stream of fewer tokens as failed",
            "--stream-end": "with prompts: what has to come before a reply's end; usual is [DONE] "
            "or a finish_reason, http is nothing more (default: usual)",
            "--extra-body FILE.json": "with prompts: add the fields of this JSON object to each "
            "request",
            "--api": "ask for streams of this kind at any path (default: as the path of --url "
            "says)",
        },
        RunConfig,
        prompt_tokens={"type": number_range},
        output_tokens={"type": number_range},
        stream_end={"choices": StreamEnd},
        api={"choices": Api},
    )


def add_slo_option(parser: argparse.ArgumentParser) -> None:
    """Add the limits that a good request keeps to."""
    add_all(
        parser.add_argument_group("Goodput"),
        {
            "--slo FIGURE=LIMIT": "with --prompts: set what a good request keeps to, ttft, ttfa, "
            "tpot or latency, such as ttft=200ms; can be repeated. Goodput is the good requests a "
            "second",
        },
        slo=REPEATED,
    )


def add_load_options(group: "argparse._ArgumentGroup") -> None:
    """Add the options of a load that all three have, to a group of them."""
    add_all(
        group,
        {
            "--pipeline N": "keep N requests outstanding on each connection (default: 1)",
            "--threads N": "use N native I/O threads (default: one per 64 workers, or 1024 streams "
            "of tokens, and at most one per core; for requests of 256 KiB and more one per worker, "
            "and at most eight per core)",
            "--arrivals": "spread requests of --limit-rps or --profile evenly, or at random by "
            "--seed (default: even)",
            "--max-lag TIME": "limit how late a request may start after it was due (default: no "
            "limit)",
            "--on-lag": "if a request would start later than --max-lag, stop the run, or shed the "
            "request and count it (default: stop)",
            "--burn-in N|TIME|auto": "warm up first: N requests, a time such as 5s, or until rate "
            "and p50 are steady, at most a minute; excluded from every figure (default: 0)",
            "--max-queries N": "send N tensors in whole batches, warm-up included (default: each "
            "tensor once, or no limit with --duration)",
            "--duration TIME": "measure for this time after the warm-up, such as 30s (default: no "
            "limit)",
            "--dial-read-timeout TIME": "set the timeout of a request (default: 90s); before the "
            f"run the server has at least {LEAST_PATIENCE_S:g}s to answer",
            "--on-disconnect": "reconnect after a lost connection, or stop the run (default: "
            "reconnect)",
            "--reconnect-for TIME": "give up a worker that cannot reconnect for this time "
            "(default: 30s)",
            "--continue-on-error true|false": "continue after failed requests; false stops at the "
            "first (default: true)",
        },
        RunConfig,
        arrivals={"choices": ARRIVALS},
        on_lag={"choices": ON_LAG},
        burn_in={"type": burn_in, "default": {}},
        dial_read_timeout={"dest": "reply_timeout_s"},
        on_disconnect={"choices": ON_DISCONNECT},
    )


def add_reporting_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for what is reported and checked, and for where the load comes from."""
    add_all(
        parser.add_argument_group("Reporting"),
        {
            "--reporting-period TIME": "print a line after each such time, such as 1000ms "
            "(default: 1s)",
            "--expect FIGURE<LIMIT": "exit with code 1 unless this holds, such as 'p99<50ms', "
            "'errors<0.1%%' or 'rate>200'; can be repeated",
            "--junit FILE": "save the outcome of each --expect as JUnit XML (default: do not)",
            "--reset-stats": "reset the server's statistics before the run, for all its users "
            "(default: do not)",
        },
        RunConfig,
        expect=REPEATED,
    )
    add_all(
        parser.add_argument_group("Clients"),
        {
            "--dask ADDRESS": "send from the workers of the Dask cluster with this scheduler, such "
            "as tcp://HOST:8786 (default: from this process)",
            "--clients N": "with --dask: use N of its workers (default: all, but at most "
            "--workers)",
        },
    )


def dask_client(options: argparse.Namespace) -> "AbstractContextManager[Client | None]":
    """Return a client of the Dask cluster, or None; ServerError if it cannot be reached."""
    if options.dask is None:
        return nullcontext()
    from aibench_fast.cluster import connected

    return connected(options.dask)


def run_config(options: argparse.Namespace, **own: Any) -> RunConfig:
    """Return the settings of a run: the options whose `dest` is a field of RunConfig, and `own`.

    ConfigError if they cannot be run, or do not say which tensors to send.
    """
    embedded = options.embedded
    check_embedded(options)
    if options.dask is None and options.clients is not None:
        raise ConfigError(f"--clients {options.clients} without --dask: of which cluster?")
    if options.dask is not None and embedded:
        raise ConfigError(
            "--embedded with --dask: that server is of this machine alone; start one with "
            "`aibench-fast serve`, and name it"
        )
    mix = () if options.mix is None else read_mix(options.mix)
    if mix and (options.shape or options.dtype or options.model != DEFAULT_MODEL):
        raise ConfigError(
            "--mix with --shape, --dtype or --model: the mix sets them for each request"
        )
    if options.tolerance is not None and options.reference_file is None:
        raise ConfigError(
            f"--tolerance {options.tolerance:g} without --verify: nothing is compared"
        )
    if options.inputs and options.shape:
        raise ConfigError("--input with --shape: each input has its own")
    own_url = embedded_url(embedded, options.protocol)
    urls = own_url or other_urls(options)
    given = {**vars(options), **own}
    if embedded == "tokens" and not (mix or any(map(given.get, _OF_PROMPTS))):
        if "prompt_tokens" in own:  # a grid's
            raise ConfigError(
                "--embedded tokens without --prompts, --prompt-tokens or --trace: give what to send"
            )
        lengths = EMBEDDED_TOKENS_LENGTHS.items()
        given |= {name: usual for name, usual in lengths if given[name] is None}
    if embedded == "tokens" and options.model == DEFAULT_MODEL:
        from aibench_fast.server.tokenserver import MODEL

        given["model"] = MODEL
    has_images = bool(embedded) and embedded != "tokens"
    if any(map(given.get, ("body", "method", "api", *_OF_PROMPTS))) and not urls:
        raise ConfigError(
            "--body, --method, --prompts, --prompt-tokens, --trace or --api without --url: give "
            "the endpoint's URL"
        )
    known = mix or options.inputs or urls or embedded
    if not known and options.file is None and not options.shape:
        raise ConfigError(
            "no tensors: give --file FILE, or --shape such as 224,224,3 for generated ones"
        )
    settings = {
        "mix": mix,
        "shape": options.shape or (IMAGE_SHAPE if has_images else ()),
        "dtype": options.dtype or ("FLOAT" if has_images else ""),
        "inputs": tuple(read_input(words) for words in options.inputs),
        **({"tls": None, **own_url} if embedded else located(options)),
        "headers": read_headers(options.header),
        "outputs": tuple(options.outputs),
        "slo": tuple(options.slo),
        "encoding": None if options.encoding == "auto" else Encoding(options.encoding),
        "dialect": None if options.dialect == "auto" else Dialect(options.dialect),
        "tolerance": RunConfig.tolerance if options.tolerance is None else options.tolerance,
        "burn_in": 0,
        **options.burn_in,
        "command_line": without_secrets(options.command_line),
    }
    return by_name(RunConfig, argparse.Namespace(**given), **(settings | own))


def files_read(options: argparse.Namespace, config: RunConfig) -> list[Named]:
    """Return the files that these options name, so that no output replaces one."""
    tensors = [file for kind in config.kinds for one in kind.inputs for file in one.files]
    return [
        ("--mix", options.mix),
        ("--verify", options.reference_file),
        ("--extra-body", options.extra_body),
        ("--tokenizer", options.tokenizer),
        ("--password-file", options.password_file),
        ("--cacert", options.cacert),
        ("--cert", options.cert),
        ("--key", options.key),
        *(("the tensors", file) for file in tensors),
        *(("--header", file) for file in header_files(options.header)),
    ]
