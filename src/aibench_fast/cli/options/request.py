"""Options for the requests of a run, a sweep and a search."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aibench_fast.cli.options.values import boolean, number_range, seconds, shape, size, statuses
from aibench_fast.load.config import DEFAULT_JSON_BYTES, DEFAULT_MODEL
from aibench_fast.load.kinds import IMAGE_SHAPE
from aibench_fast.protocols.anyhttp.settings import METHODS, Reply
from aibench_fast.protocols.encoding import Encoding
from aibench_fast.protocols.openai.settings import Api, StreamEnd
from aibench_fast.protocols.openinference.settings import SharedMemory
from aibench_fast.protocols.redisai.commands import Dialect
from aibench_fast.studies.servers import (
    EMBEDDED,
    EMBEDDED_TOKENS_LENGTHS,
    EMBEDDED_TRITON_URLS,
)
from aibench_fast.tensortype import DTYPES, canonical
from aibench_fast.units import described_size


def add_request_options(parser: argparse.ArgumentParser, *, in_grid: bool = False) -> None:
    """Add the options for the model and the tensors of requests; `in_grid` as for streams."""
    lengths = EMBEDDED_TOKENS_LENGTHS
    usual = (
        f"; tokens without prompts: of {lengths['prompt_tokens']} tokens, asking for "
        f"{lengths['output_tokens']}"
    )
    group = parser.add_argument_group("Request")
    group.add_argument(
        "--file", type=Path,
        help="send the tensors of this file: one after another, of --shape and --dtype; for "
        "shards, the name of the whole; for strings, a text file with one per line, or .jsonl "
        "(default: generate tensors of --shape)",
    )  # fmt: skip
    group.add_argument(
        "--shape", type=shape, default=(), metavar="N,...",
        help="set the shape of one tensor, without the batch, such as 16 or 224,224,3 (default "
        f"with --file: {','.join(map(str, IMAGE_SHAPE))})",
    )  # fmt: skip
    group.add_argument(
        "--dtype", type=canonical, default="",
        help=f"set the data type: {', '.join(DTYPES)} (default: FLOAT, or with --url the model's)",
    )  # fmt: skip
    group.add_argument(
        "--input", action="append", default=[], dest="inputs", metavar="NAME:DTYPE:SHAPE[=FILE]",
        help="send one of several inputs, from a file or generated; repeat it for each input",
    )  # fmt: skip
    group.add_argument(
        "--output", action="append", default=[], dest="outputs", metavar="NAME",
        help="request this output, by its name, or with RedisAI by its number from 1; can be "
        "repeated (default: all outputs)",
    )  # fmt: skip
    group.add_argument(
        "--model", default=DEFAULT_MODEL,
        help="run the model with this key or name (default: %(default)s; with prompts, the "
        "server's only one)",
    )  # fmt: skip
    group.add_argument(
        "--model-version", metavar="V",
        help="with --url: run this version (default: the server's choice)",
    )  # fmt: skip
    group.add_argument(
        "--encoding", choices=["auto", *Encoding], default="auto",
        help="over HTTP: send tensors in this form; auto is binary, or JSON if the server refuses "
        "that (default: auto)",
    )  # fmt: skip
    group.add_argument(
        "--shared-memory", nargs="?", choices=[*SharedMemory], const=SharedMemory.INPUTS,
        help="with --url: put the inputs, or all tensors, into shared memory that a Triton on this "
        "machine maps (without a value: inputs)",
    )  # fmt: skip
    group.add_argument(
        "--stream", action="store_true",
        help="over gRPC: send all requests of a connection in one call, Triton's ModelStreamInfer; "
        "a decoupled model replies to each several times or never",
    )  # fmt: skip
    group.add_argument(
        "--json-memory", type=size, default=DEFAULT_JSON_BYTES, metavar="SIZE",
        dest="json_memory_bytes",
        help="use at most this memory for tensors in JSON or of strings; if not all fit, the first "
        f"ones are cycled (default: {described_size(DEFAULT_JSON_BYTES)})",
    )  # fmt: skip
    group.add_argument(
        "--mix", type=Path, metavar="FILE",
        help="send a request mix, drawn by weight and --seed: a TOML file of [[request]] tables "
        "with model, file, shape, dtype, batch-size, weight or inputs; or of prompts with model, "
        "prompts, prompt-tokens, output-tokens, tokenizer or weight",
    )  # fmt: skip
    group.add_argument(
        "--use-dag", type=boolean, nargs="?", const=True, default=False, metavar="true|false",
        help="send each request as one DAG instead of three commands",
    )  # fmt: skip
    group.add_argument(
        "--persist-results", type=boolean, nargs="?", const=True, default=False,
        metavar="true|false", help="leave the outputs on the server",
    )  # fmt: skip
    group.add_argument(
        "--dialect", choices=["auto", *Dialect], default=Dialect.MODELRUN,
        help="run models with AI.MODELRUN or AI.MODELEXECUTE; auto uses the newest that the server "
        "knows (default: modelrun, which every RedisAI knows)",
    )  # fmt: skip
    group.add_argument(
        "--timeout-ms", type=int, metavar="MS",
        help="set the server's timeout for a request in its queue (RedisAI 1.2.1 and later)",
    )  # fmt: skip
    group.add_argument(
        "--verify", type=Path, metavar="FILE", dest="reference_file",
        help="compare every output with the one in this file: float32, in the order of --file",
    )  # fmt: skip
    group.add_argument(
        "--tolerance", type=float, metavar="X",
        help="allow this absolute difference in --verify (default: 1e-4)",
    )  # fmt: skip
    group.add_argument(
        "--embedded", nargs="?", choices=EMBEDDED, const=EMBEDDED[0],
        help="start a server for the run and stop it afterwards: with MobileNet V1, or tokens, "
        f"whose times are simulated (without a name: {EMBEDDED[0]}{'' if in_grid else usual})",
    )  # fmt: skip
    group.add_argument(
        "--protocol", choices=[*EMBEDDED_TRITON_URLS],
        help="with --embedded triton: use it over HTTP or gRPC (default: http)",
    )  # fmt: skip
    group.add_argument(
        "--seed", type=int, default=0, metavar="S",
        help="generate tensors or draw prompts from this seed; with --file, begin with the tensor "
        "that it selects (default: 0, the first one)",
    )  # fmt: skip


def add_endpoint_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for bodies that are sent as they lie, and for their replies."""
    group = parser.add_argument_group("Any HTTP endpoint")
    group.add_argument(
        "--body", type=Path, metavar="FILE|FOLDER|LINES.jsonl",
        help="with --url: send each file of a folder, or each line of a .jsonl file, as the body "
        "of a request to the URL's path, whatever serves it",
    )  # fmt: skip
    group.add_argument(
        "--content-type", metavar="TYPE",
        help="set the type of each --body (default: application/json for .json and .jsonl, else "
        "application/octet-stream)",
    )  # fmt: skip
    group.add_argument(
        "--method", choices=METHODS,
        help="set the method of requests with --body, or send GET without one (default: POST)",
    )  # fmt: skip
    group.add_argument(
        "--success", type=statuses, default=(), metavar="STATUS,...",
        help="with --body: count these HTTP statuses as successes (default: 200 to 299)",
    )  # fmt: skip
    group.add_argument(
        "--reply", type=Reply, choices=list(Reply), default=Reply.ANY,
        help="with --body: what the body of a success has to be; same-size is that of the first "
        "reply (default: any)",
    )  # fmt: skip


def add_lengths(
    group: "argparse._ArgumentGroup", kind: Callable[[str], Any], default: Any, several: str
) -> None:
    """Add the options for the lengths of prompts and answers; `several` ends their values."""
    group.add_argument(
        "--prompt-tokens", type=kind, default=default, metavar=f"N|LOW-HIGH{several}",
        help="draw prompts of about N tokens from --seed instead, or of lengths spread evenly from "
        "LOW to HIGH; no two are the same",
    )  # fmt: skip
    group.add_argument(
        "--output-tokens", type=kind, default=default, metavar=f"N|LOW-HIGH{several}",
        help="ask for N tokens at most, unless a line of --prompts has max_tokens; with "
        "--prompt-tokens LOW-HIGH draws it for each",
    )  # fmt: skip


def add_stream_options(parser: argparse.ArgumentParser, *, in_grid: bool = False) -> None:
    """Add the options for prompts and for what a stream of tokens has to be.

    With `in_grid` without the lengths of prompts and answers, which are axes of a grid then.
    """
    group = parser.add_argument_group("Streams of tokens")
    group.add_argument(
        "--prompts", type=Path, metavar="FILE.jsonl",
        help="with --url .../v1/chat/completions or .../v1/completions: send each line's messages, "
        "prompt or text, and read the streams of tokens; lines with equal session are turns of a "
        "conversation and go in order, with answer as recorded and delay_ms before a turn",
    )  # fmt: skip
    if not in_grid:
        add_lengths(group, number_range, None, "")
    group.add_argument(
        "--tokenizer", type=Path, metavar="FILE|FOLDER",
        help="make --prompt-tokens, or the lengths of --trace, exact by this tokenizer.json, "
        "without special tokens and the chat's template",
    )  # fmt: skip
    group.add_argument(
        "--first-token-timeout", type=seconds, default=0.0, metavar="TIME",
        dest="first_token_timeout_s",
        help="with prompts: end a stream that has no token after this time, and count it as "
        "failed (default: no limit but --dial-read-timeout)",
    )  # fmt: skip
    group.add_argument(
        "--token-timeout", type=seconds, default=0.0, metavar="TIME", dest="token_timeout_s",
        help="with prompts: end a stream that pauses for longer between two tokens, and count it "
        "as failed (default: no limit but --dial-read-timeout)",
    )  # fmt: skip
    group.add_argument(
        "--min-tokens", type=int, default=0, metavar="N",
        help="with prompts: count a stream of fewer tokens as failed",
    )  # fmt: skip
    group.add_argument(
        "--stream-end", type=StreamEnd, choices=list(StreamEnd), default=StreamEnd.USUAL,
        help="with prompts: what has to come before a reply's end; usual is [DONE] or a "
        "finish_reason, http is nothing more (default: usual)",
    )  # fmt: skip
    group.add_argument(
        "--extra-body", type=Path, metavar="FILE.json",
        help="with prompts: add the fields of this JSON object to each request",
    )  # fmt: skip
    group.add_argument(
        "--api", type=Api, choices=list(Api),
        help="ask for streams of this kind at any path (default: as the path of --url says)",
    )  # fmt: skip


def add_slo_option(parser: argparse.ArgumentParser) -> None:
    """Add the limits that a good request keeps to."""
    parser.add_argument_group("Goodput").add_argument(
        "--slo", action="append", default=[], metavar="FIGURE=LIMIT",
        help="with --prompts: set what a good request keeps to, ttft, ttfa, tpot or latency, such "
        "as ttft=200ms; can be repeated. Goodput is the good requests a second",
    )  # fmt: skip


def add_trace_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for a trace and how fast it is gone through."""
    group = parser.add_argument_group("Traces")
    group.add_argument(
        "--trace", type=Path, metavar="FILE.jsonl",
        help="with --url .../v1/chat/completions or .../v1/completions: send recorded requests, "
        "each line with timestamp (ms), input_length, output_length and hash_ids, as Mooncake's: "
        "when, how long and with which shared beginnings",
    )  # fmt: skip
    group.add_argument(
        "--speed", type=float, default=1.0, metavar="X",
        help="go through --trace X times as fast, such as 2 (default: 1)",
    )  # fmt: skip
