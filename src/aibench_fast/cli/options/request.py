"""Options for the requests of a run, a sweep and a search."""

import argparse
from pathlib import Path

from aibench_fast.cli.options.values import boolean, shape, size
from aibench_fast.load.config import DEFAULT_JSON_BYTES, DEFAULT_MODEL
from aibench_fast.load.kinds import IMAGE_SHAPE
from aibench_fast.protocols.encoding import Encoding
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
