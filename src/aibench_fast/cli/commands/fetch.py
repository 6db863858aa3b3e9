"""`aibench-fast fetch`: downloads of models and photographs."""

import argparse
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from rich.progress import DownloadColumn, TransferSpeedColumn

from aibench_fast.cli.options.parser import QUIET, add_all, add_command, add_subcommands
from aibench_fast.cli.output import counted
from aibench_fast.errors import ConfigError, shown_url
from aibench_fast.fetch import download, path_of
from aibench_fast.files import check_outputs
from aibench_fast.tensors import coco

AMOUNT = (DownloadColumn(), TransferSpeedColumn())
"""The columns of a download's progress."""

EXAMPLE = "aibench-fast fetch coco --dest coco"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    commands = add_subcommands(parser, "subcommand")
    model = add_command(
        commands,
        "model",
        "Download a model file, for `aibench-fast model load --model-file`.",
        "aibench-fast fetch model https://example.org/mobilenet_v1.pb --sha256 HEX",
    )
    model.add_argument("url", metavar="URL", help="download this file")
    add_all(
        model,
        {
            "--sha256 HEX": "expect this SHA-256, 64 hexadecimal digits",
            "--out FILE": "write this file (default: the name in the URL)",
            **QUIET,
        },
        sha256={"required": True},
    )
    model.set_defaults(handler=_fetch_model)
    photographs = add_command(
        commands,
        "coco",
        "Download and unpack COCO 2017's 5,000 validation photographs (816 MB).",
        "aibench-fast fetch coco --dest coco",
    )
    add_all(
        photographs,
        {
            "--dest DIR": "write val2017.zip and, unpacked, val2017/ to this folder",
            "--url URL": "download from here (default: %(default)s)",
            **QUIET,
        },
        dest={"required": True},
        url={"default": coco.URL},
    )
    photographs.set_defaults(handler=_fetch_coco)


def _fetch_model(options: argparse.Namespace) -> int:
    destination = options.out or name_in(options.url)
    check_outputs([("--out", destination)])
    with counted(options.quiet, destination.name, *AMOUNT) as progress:
        download(options.url, destination, sha256=options.sha256, progress=progress)
    if not options.quiet:
        size = destination.stat().st_size
        print(f"wrote {destination}: {size:,} bytes, SHA-256 {options.sha256.lower()}")
    return 0


def _fetch_coco(options: argparse.Namespace) -> int:
    with counted(options.quiet, "val2017.zip", *AMOUNT) as progress:
        archive = coco.fetch_archive(options.dest, options.url, progress)
    with counted(options.quiet, "unpacked") as progress:
        files = coco.unpack(archive, options.dest, progress)
    if not options.quiet:
        folder = options.dest / archive.stem
        print(f"{files:,} photographs in {folder}; next: aibench-fast prepare --input {folder}")
    return 0


def name_in(url: str) -> Path:
    """Return the file name at the end of a URL; ConfigError if it has none."""
    name = PurePosixPath(unquote(path_of(url))).name
    if name in ("", ".", ".."):
        raise ConfigError(f"{shown_url(url)} does not end with a file name; give one with --out")
    return Path(name)
