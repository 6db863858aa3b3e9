"""Options for what a run, a sweep and a search send, and for what replies have to be."""

import argparse

from aibench_fast.cli.options.parser import REPEATED, add_all
from aibench_fast.cli.options.values import number_range, shape, statuses
from aibench_fast.load.config import DEFAULT_JSON_BYTES, RunConfig
from aibench_fast.load.kinds import IMAGE_SHAPE
from aibench_fast.protocols.anyhttp.settings import METHODS, Reply
from aibench_fast.protocols.openai.settings import Api, StreamEnd
from aibench_fast.protocols.openinference.settings import SharedMemory
from aibench_fast.protocols.redisai.commands import Dialect
from aibench_fast.protocols.settings import Encoding
from aibench_fast.studies.servers import EMBEDDED, EMBEDDED_TOKENS_LENGTHS, EMBEDDED_TRITON_URLS
from aibench_fast.tensortype import DTYPES, canonical
from aibench_fast.units import described_size

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
        shared_memory={"nargs": "?", "choices": [*SharedMemory], "const": SharedMemory.INPUTS},
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


def add_trace_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for a trace and how fast it is gone through."""
    add_all(
        parser.add_argument_group("Traces"),
        {
            "--trace FILE.jsonl": "with --url .../v1/chat/completions or .../v1/completions: send "
            "recorded requests, each line with timestamp (ms), input_length, output_length and "
            "hash_ids, as Mooncake's: when, how long and with which shared beginnings",
            "--speed X": "go through --trace X times as fast, such as 2 (default: 1)",
        },
        RunConfig,
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
