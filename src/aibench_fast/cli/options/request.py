"""What a request is: the options of a run, a sweep and a search, and the settings they make."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from aibench_fast.cli.options.secrets import header_files, read_headers, told_command_line
from aibench_fast.cli.options.servers import LoadedServers
from aibench_fast.cli.options.values import boolean, shape, size
from aibench_fast.errors import ConfigError
from aibench_fast.files import Named
from aibench_fast.load.config import DEFAULT_JSON_BYTES, DEFAULT_MODEL, RunConfig
from aibench_fast.load.kinds import IMAGE_SHAPE, read_input, read_mix
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.encoding import Encoding
from aibench_fast.protocols.redisai.commands import Dialect
from aibench_fast.studies.servers import EMBEDDED, EMBEDDED_TRITON_URL
from aibench_fast.tensors.shards import files_of
from aibench_fast.tensortype import DTYPES, canonical
from aibench_fast.units import described_size


def add_request_options(parser: argparse.ArgumentParser) -> None:
    """What a request is, in a run and in a sweep."""
    group = parser.add_argument_group("what is asked")
    group.add_argument(
        "--file", type=Path,
        help="the tensor file: tensors of --shape and --dtype, one after another; of shards "
        "the name that the whole would have; of strings a text file with one in each line, or "
        ".jsonl (default: with --shape, generated ones)",
    )  # fmt: skip
    group.add_argument(
        "--shape", type=shape, default=(), metavar="N,...",
        help="one tensor's shape without the batch, such as 16 or 224,224,3 (default with --file: "
        f"{','.join(map(str, IMAGE_SHAPE))})",
    )  # fmt: skip
    group.add_argument(
        "--dtype", type=canonical, default="",
        help=f"the type of a tensor's values: {', '.join(DTYPES)} (default: FLOAT, or with "
        "--url the model's)",
    )  # fmt: skip
    group.add_argument(
        "--input", action="append", default=[], dest="inputs", metavar="NAME:DTYPE:SHAPE[=FILE]",
        help="one of a model's several inputs, from a file or generated; given for each",
    )  # fmt: skip
    group.add_argument(
        "--output", action="append", default=[], dest="outputs", metavar="NAME",
        help="an output that is asked for, by its name, or of RedisAI also by its number from 1; "
        "may be given again (default: all)",
    )  # fmt: skip
    group.add_argument(
        "--model", default=DEFAULT_MODEL,
        help="the model's key, or name (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--model-version", metavar="V", help="with --url: this version (default: the server's)"
    )
    group.add_argument(
        "--encoding", choices=["auto", *Encoding], default="auto",
        help="with --url: how tensors are sent; auto is binary, or JSON where the server refuses "
        "that (default: auto)",
    )  # fmt: skip
    group.add_argument(
        "--json-memory", type=size, default=DEFAULT_JSON_BYTES, metavar="SIZE",
        dest="json_memory_bytes",
        help="the most memory for tensors that are formatted as JSON, or with strings, such as "
        "2GiB; of more of them the first that fit are cycled (default: "
        f"{described_size(DEFAULT_JSON_BYTES)})",
    )  # fmt: skip
    group.add_argument(
        "--mix", type=Path, metavar="FILE",
        help="several kinds of request, drawn by their weights from --seed: [[request]] tables of "
        "model, file, shape, dtype, batch-size, weight or inputs, in TOML",
    )  # fmt: skip
    group.add_argument(
        "--use-dag", type=boolean, nargs="?", const=True, default=False, metavar="true|false",
        help="send a request as one DAG instead of three commands",
    )  # fmt: skip
    group.add_argument(
        "--persist-results", type=boolean, nargs="?", const=True, default=False,
        metavar="true|false", help="leave the outputs in the server",
    )  # fmt: skip
    group.add_argument(
        "--dialect", choices=["auto", *Dialect], default=Dialect.MODELRUN,
        help="run by AI.MODELRUN or AI.MODELEXECUTE; auto takes the newest that the server knows "
        "(default: modelrun, which every RedisAI knows)",
    )  # fmt: skip
    group.add_argument(
        "--timeout-ms", type=int, metavar="MS",
        help="the server's limit on the time a request waits in its queue (RedisAI 1.2.1 and up)",
    )  # fmt: skip
    group.add_argument(
        "--verify", type=Path, metavar="FILE", dest="reference_file",
        help="compare every output with its own in this file: float32, in the tensor file's order",
    )  # fmt: skip
    group.add_argument(
        "--tolerance", type=float, metavar="X",
        help="the largest difference that --verify allows, absolute (default: 1e-4)",
    )  # fmt: skip
    group.add_argument(
        "--embedded", nargs="?", choices=EMBEDDED, const=EMBEDDED[0],
        help="start a server of our own with MobileNet V1 and stop it after the run (default "
        f"without a name: {EMBEDDED[0]})",
    )  # fmt: skip
    group.add_argument(
        "--seed", type=int, default=0, metavar="S",
        help="what generated tensors are drawn from; with --file, choose by this number which is "
        "sent first (default: 0, the file's first)",
    )  # fmt: skip


def run_config(options: argparse.Namespace, server: LoadedServers, **own: Any) -> RunConfig:
    """Return the settings of a run: the options whose `dest` is a field of RunConfig, and `own`.

    ConfigError where they cannot be run, or do not say which tensors to send.
    """
    server.check()
    mix = () if options.mix is None else read_mix(options.mix)
    if mix and (options.shape or options.dtype or server.model != DEFAULT_MODEL):
        raise ConfigError(
            "--mix with --shape, --dtype or --model: the mix says them for each request"
        )
    if options.tolerance is not None and options.reference_file is None:
        raise ConfigError(
            f"--tolerance {options.tolerance:g} without --verify: nothing is compared"
        )
    if options.inputs and options.shape:
        raise ConfigError("--input with --shape: each input has its own")
    urls = [EMBEDDED_TRITON_URL] if server.embedded == "triton" else server.http_urls()
    known = mix or options.inputs or urls or server.embedded
    if not known and options.file is None and not options.shape:
        raise ConfigError(
            "which tensors? give --file FILE, or --shape such as 224,224,3 for generated ones"
        )
    addresses = [ServerAddress()] if urls or server.embedded else server.addresses()
    given = {**vars(options), **vars(server)}
    fields = (one.name for one in dataclasses.fields(RunConfig))
    settings = {
        **{name: given[name] for name in fields if name in given},
        "mix": mix,
        "shape": options.shape or (IMAGE_SHAPE if server.embedded else ()),
        "dtype": options.dtype or ("FLOAT" if server.embedded else ""),
        "inputs": tuple(read_input(words) for words in options.inputs),
        "address": addresses[0],
        "url": urls[0] if urls else None,
        "others": tuple(urls[1:] or addresses[1:]),
        "tls": server.tls_settings() if urls else None,
        "headers": read_headers(server.header),
        "outputs": tuple(options.outputs),
        "encoding": None if options.encoding == "auto" else Encoding(options.encoding),
        "dialect": None if options.dialect == "auto" else Dialect(options.dialect),
        "tolerance": RunConfig.tolerance if options.tolerance is None else options.tolerance,
        "burn_in": options.burn_in.requests,
        "burn_in_s": options.burn_in.seconds,
        "burn_in_until_steady": options.burn_in.until_steady,
        "command_line": told_command_line(options.command_line),
    }
    return RunConfig(**(settings | own))


def files_read(
    options: argparse.Namespace, server: LoadedServers, config: RunConfig
) -> list[Named]:
    """Return the files that these options name, so that no output replaces one."""
    tensors = [one.file for kind in config.kinds for one in kind.inputs if one.file]
    return [
        ("--mix", options.mix),
        ("--verify", options.reference_file),
        ("--password-file", server.password_file),
        ("--cacert", server.cacert),
        ("--cert", server.cert),
        ("--key", server.key),
        *(("the tensors", file) for whole in tensors for file in files_of(whole)),
        *(("--header", file) for file in header_files(server.header)),
    ]
