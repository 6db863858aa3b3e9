"""`aibench-fast model`: writes the built-in model, loads a model into servers."""

import argparse
import dataclasses
import hashlib
import sys

from aibench_fast.cli.options.parser import add_all, add_command, add_subcommands
from aibench_fast.cli.options.server import add_server_options, addresses
from aibench_fast.files import check_outputs, replacing
from aibench_fast.load.config import DEFAULT_MODEL
from aibench_fast.models import ModelFormat, built_in_model
from aibench_fast.models.load import Backend, ModelSpec, load_model, read_model
from aibench_fast.protocols.redisai.cluster import check_name, read_cluster
from aibench_fast.protocols.redisai.commands import Dialect
from aibench_fast.protocols.redisai.connection import Connection

EXAMPLE = "aibench-fast model load --backend ONNX --batchsize 32"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    commands = add_subcommands(parser, "subcommand")
    write = add_command(
        commands,
        "write",
        "Write MobileNet V1 1.0 224 with random weights from a seed.",
        "aibench-fast model write --format onnx --out mobilenet_v1.onnx",
    )
    add_all(
        write,
        {
            "--format": "write this kind of model file",
            "--out FILE": "write this file",
            "--quiet": "print no closing line",
        },
        format={"required": True, "choices": [*ModelFormat]},
        out={"required": True},
    )
    write.set_defaults(handler=_write)
    load = add_command(
        commands,
        "load",
        "Load a model into a server, or into each of several.",
        "aibench-fast model load --host localhost --port 6379 --backend TF --batchsize 32",
    )
    add_server_options(load, several=True)
    add_all(
        load,
        {
            "--model NAME": "store the model under this key (default: %(default)s)",
            "--backend": "run the model with this backend (default: TF); NULL of the embedded "
            "server runs nothing",
            "--device": "run the model on this device (default: cpu)",
            "--model-file FILE": "load this model file (default: the built-in MobileNet V1)",
            "--batchsize N": "auto-batching: run up to N rows of waiting requests as one (default: "
            "0, none)",
            "--minbatchsize N": "auto-batching: wait for at least N rows (default: 0, do not wait)",
            "--minbatchtimeout MS": "auto-batching: wait at most N milliseconds (default: 0, no "
            "limit)",
            "--tag T": "store this version tag with the model",
            "--dialect": "store the model with AI.MODELSET (modelrun) or AI.MODELSTORE "
            "(modelexecute); auto asks the server (default: auto)",
            "--quiet": "print no closing line",
        },
        model={"default": DEFAULT_MODEL},
        backend={"type": str.upper, "choices": [*Backend], "default": Backend.TF},
        device={"type": str.lower, "choices": ["cpu", "gpu"], "default": "cpu"},
        batchsize={"default": 0},
        minbatchsize={"default": 0},
        minbatchtimeout={"default": 0},
        dialect={"choices": ["auto", *Dialect], "default": "auto"},
    )
    load.set_defaults(handler=_load)


def _write(options: argparse.Namespace) -> int:
    check_outputs([("--out", options.out)])
    blob = built_in_model(ModelFormat(options.format))
    with replacing(options.out) as file:
        file.write(blob)
    if not options.quiet:
        digest = hashlib.sha256(blob).hexdigest()
        print(f"wrote {options.out}: {len(blob):,} bytes, SHA-256 {digest}")
    return 0


def _load(options: argparse.Namespace) -> int:
    """Load a model into every server of the list, or every primary of a cluster."""
    servers = addresses(options)
    if options.cluster_mode:
        check_name(options.model)
    backend = Backend(options.backend)
    spec = ModelSpec(
        name=options.model,
        backend=backend,
        device=options.device.upper(),
        blob=read_model(backend, options.model_file),
        batch_size=options.batchsize,
        min_batch_size=options.minbatchsize,
        min_batch_timeout_ms=options.minbatchtimeout,
        tag=options.tag,
    )
    if spec.batch_size and not spec.batches:
        print(
            f"{backend} does not support auto-batching: the model is loaded without --batchsize "
            f"{spec.batch_size}",
            file=sys.stderr,
        )
    if spec.batches and spec.min_batch_size > 1 and not spec.min_batch_timeout_ms:
        print(
            f"requests wait for {spec.min_batch_size} rows without a time limit: use enough "
            "workers x batch size in a run, or load the model with --minbatchtimeout",
            file=sys.stderr,
        )
    dialect = None if options.dialect == "auto" else Dialect(options.dialect)
    copies = [(address, spec) for address in servers]
    if options.cluster_mode:
        copies = [
            (shard.primary, dataclasses.replace(spec, name=shard.key(spec.name)))
            for shard in read_cluster(servers).shards
        ]
    for address, copy in copies:
        with Connection(address) as connection:
            used = load_model(connection, copy, dialect)
        if not options.quiet:
            batching = f", batches of up to {spec.batch_size}" if spec.batches else ""
            print(
                f"loaded {copy.name} into {address} by {used.model_set_command}: "
                f"{spec.backend} on {spec.device}, {len(spec.blob):,} bytes{batching}"
            )
    return 0
