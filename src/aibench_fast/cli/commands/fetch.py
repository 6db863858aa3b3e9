"""`aibench-fast fetch`: downloads of models and photographs."""

import argparse
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from rich.progress import DownloadColumn, TransferSpeedColumn

from aibench_fast.cli.options.parser import add_all, add_command, add_quiet, add_subcommands
from aibench_fast.cli.output import progress_bar
from aibench_fast.errors import ConfigError, shown_url
from aibench_fast.fetch import download, path_of
from aibench_fast.files import check_outputs
from aibench_fast.tensors import coco

EXAMPLE = "aibench-fast fetch coco --dest coco"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    subcommands = add_subcommands(parser, "subcommand")
    add_model_parser(subcommands)
    add_coco_parser(subcommands)


def add_model_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register `fetch model`."""
    parser = add_command(
        commands,
        "model",
        "Download a model file, for `aibench-fast model load --model-file`.",
        "aibench-fast fetch model https://example.org/mobilenet_v1.pb --sha256 HEX",
    )
    parser.add_argument("url", metavar="URL", help="download this file")
    add_all(
        parser,
        {
            "--sha256 HEX": "expect this SHA-256, 64 hexadecimal digits",
            "--out FILE": "write this file (default: the name in the URL)",
        },
        sha256={"required": True},
    )
    add_quiet(parser)
    parser.set_defaults(handler=fetch_model)


def fetch_model(options: argparse.Namespace) -> int:
    """Download a model file."""
    destination = options.out or name_in(options.url)
    check_outputs([("--out", destination)])
    with progress_bar(options.quiet, DownloadColumn(), TransferSpeedColumn()) as progress:
        task = progress.add_task(destination.name, total=None)
        download(
            options.url,
            destination,
            sha256=options.sha256,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if not options.quiet:
        size = destination.stat().st_size
        print(f"wrote {destination}: {size:,} bytes, SHA-256 {options.sha256.lower()}")
    return 0


def add_coco_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register `fetch coco`."""
    parser = add_command(
        commands,
        "coco",
        "Download and unpack COCO 2017's 5,000 validation photographs (816 MB).",
        "aibench-fast fetch coco --dest coco",
    )
    add_all(
        parser,
        {
            "--dest DIR": "write val2017.zip and, unpacked, val2017/ to this folder",
            "--url URL": "download from here (default: %(default)s)",
        },
        dest={"required": True},
        url={"default": coco.URL},
    )
    add_quiet(parser)
    parser.set_defaults(handler=fetch_coco)


def fetch_coco(options: argparse.Namespace) -> int:
    """Download and unpack COCO's validation photographs."""
    with progress_bar(options.quiet, DownloadColumn(), TransferSpeedColumn()) as progress:
        task = progress.add_task("val2017.zip", total=None)
        archive = coco.fetch_archive(
            options.dest,
            lambda done, total: progress.update(task, completed=done, total=total),
            url=options.url,
        )
    with progress_bar(options.quiet) as progress:
        task = progress.add_task("unpacked", total=None)
        files = coco.unpack(
            archive,
            options.dest,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
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
