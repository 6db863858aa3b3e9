"""The settings of runs, made from the options of a run, a sweep and a search."""

import argparse
from typing import Any

from aibench_fast.cli.options.secrets import header_files, read_headers, without_secrets
from aibench_fast.cli.options.server import check_embedded, located, other_urls
from aibench_fast.cli.options.values import by_name
from aibench_fast.errors import ConfigError
from aibench_fast.files import Named
from aibench_fast.load.config import DEFAULT_MODEL, RunConfig
from aibench_fast.load.kinds import IMAGE_SHAPE, read_input, read_mix
from aibench_fast.protocols.openinference.settings import SharedMemory
from aibench_fast.protocols.redisai.commands import Dialect
from aibench_fast.protocols.settings import Encoding
from aibench_fast.studies.servers import EMBEDDED_TOKENS_LENGTHS, embedded_url

_OF_PROMPTS = ("prompts", "prompt_tokens", "trace")


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
        "shared_memory": options.shared_memory and SharedMemory(options.shared_memory),
        "dialect": None if options.dialect == "auto" else Dialect(options.dialect),
        "tolerance": RunConfig.tolerance if options.tolerance is None else options.tolerance,
        "burn_in": options.burn_in.requests,
        "burn_in_s": options.burn_in.seconds,
        "burn_in_until_steady": options.burn_in.until_steady,
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
