"""A run's files on the machines of its clients: found by their paths, or sent once through Dask.

A folder is sent as its files one behind another, and taken apart again.
"""

import dataclasses
import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aibench_fast.cluster import DaskClient, Place
from aibench_fast.errors import ConfigError
from aibench_fast.files import partial_of, reading
from aibench_fast.load.config import RunConfig
from aibench_fast.load.kinds import InputTensor, RequestKind
from aibench_fast.results.events import Digesting, Observer, SendingFile
from aibench_fast.tensors import bodies, tensorfile
from aibench_fast.tensors.digests import digest_of

_FILES = (
    "file", "body", "prompts", "trace", "tokenizer", "extra_body", "reference_file",
    "arrivals_file",
)  # fmt: skip
"""The settings that are files."""
PIECE_BYTES = 32 << 20


class _File(NamedTuple):
    """A file as it is here, or a folder; a tensor file in shards is one by its whole name."""

    path: Path
    parts: Sequence[Path]
    digest: str
    sizes: Sequence[int]
    """Of the parts."""


def placed(
    client: DaskClient, places: Sequence[Place], config: RunConfig, observe: Observer
) -> list[dict[Path, Path]]:
    """Return where each client has each of the run's files, by its path here.

    ConfigError where one cannot be read, or is another one at its path there.
    """
    there = {
        path: _placed(client, places, _read(path, observe), observe) for path in _files(config)
    }
    return [{path: where[place] for path, where in there.items()} for place in places]


def with_files(config: RunConfig, where: Mapping[Path, Path]) -> RunConfig:
    """Return the config with its files where the client has them."""

    def moved_input(one: InputTensor) -> InputTensor:
        drawn = one.drawn
        if drawn is not None and drawn.tokenizer is not None:
            drawn = dataclasses.replace(drawn, tokenizer=where[drawn.tokenizer])
        return dataclasses.replace(one, file=one.file and where[one.file], drawn=drawn)

    def moved(kind: RequestKind) -> RequestKind:
        return dataclasses.replace(kind, inputs=tuple(map(moved_input, kind.inputs)))

    moved_files: dict[str, Any] = {name: where[getattr(config, name)] for name in _given(config)}
    inputs, mix = tuple(map(moved_input, config.inputs)), tuple(map(moved, config.mix))
    return dataclasses.replace(config, inputs=inputs, mix=mix, **moved_files)


def _files(config: RunConfig) -> list[Path]:
    inputs = [one for kind in config.kinds for one in kind.inputs]
    several = [
        *(one.file for one in inputs),
        *(one.drawn.tokenizer for one in inputs if one.drawn is not None),
        *(getattr(config, name) for name in _given(config)),
    ]
    return list(dict.fromkeys(one for one in several if one is not None))


def _given(config: RunConfig) -> list[str]:
    """Return the settings of files that are given."""
    return [name for name in _FILES if getattr(config, name) is not None]


def _read(path: Path, observe: Observer) -> _File:
    parts = _parts_of(path)
    with reading(f"{path}: cannot be read"):
        digest = digest_of(parts, lambda done, all_: observe(Digesting(done, all_)))
        return _File(path, parts, digest, [part.stat().st_size for part in parts])


def _parts_of(path: Path) -> list[Path]:
    """Return the files of a folder, the shards of a tensor file, or the file itself."""
    return bodies.files_of(path) if path.is_dir() else tensorfile.files_of(path)


def _placed(
    client: DaskClient, places: Sequence[Place], file: _File, observe: Observer
) -> dict[Place, Path]:
    there = _found(client, file, {place: file.path.absolute() for place in places})
    while missing := [place for place in places if place not in there]:
        # Those of one host may see the same files.
        by_host = {place.host: path for place, path in there.items()}
        seen = {place: by_host[place.host] for place in missing if place.host in by_host}
        there |= _found(client, file, seen)
        one_a_host = {place.host: place for place in reversed(missing) if place not in there}
        if one_a_host:
            there |= _send(client, list(one_a_host.values()), file, observe)
    return there


def _found(client: DaskClient, file: _File, candidates: Mapping[Place, Path]) -> dict[Place, Path]:
    """Who has the file, and where; ConfigError where a candidate is another one."""
    calls = {place: (find_file, path, file.digest) for place, path in candidates.items()}
    there = {}
    for place, found in _called(client, calls).items():
        if found is None:
            continue
        path, digest = found
        if digest != file.digest:
            raise ConfigError(
                f"{path} differs on {place}: its SHA-256 is {digest[:16]}..., and here "
                f"{file.digest[:16]}...; copy this one there, or remove that one to have it sent"
            )
        there[place] = path
    return there


def _send(
    client: DaskClient, places: Sequence[Place], file: _File, observe: Observer
) -> dict[Place, Path]:
    """Send a file to workers in pieces, each once through the scheduler; where they have it."""
    addresses = [place.address for place in places]
    done_bytes, all_bytes = 0, sum(file.sizes)
    observe(SendingFile(str(file.path), done_bytes, all_bytes, len(places)))
    for number, piece in enumerate(_pieces(file.parts)):
        scattered = client.scatter(piece, workers=addresses, broadcast=True, hash=False)
        call = write_piece, file.digest, file.path.suffix, number, scattered
        _called(client, dict.fromkeys(places, call))
        done_bytes += len(piece)
        observe(SendingFile(str(file.path), done_bytes, all_bytes, len(places)))
    names = [part.name for part in file.parts] if file.path.is_dir() else []
    members = [*zip(names, file.sizes, strict=False)]
    keep = keep_file, file.digest, file.path.suffix, members
    return _called(client, dict.fromkeys(places, keep))


def _called(client: DaskClient, calls: Mapping[Place, tuple[Any, ...]]) -> dict[Place, Any]:
    """Return what calls return, a function and its arguments for each worker."""
    begun = [
        client.submit(*call, workers=[place.address], pure=False, retries=0)
        for place, call in calls.items()
    ]
    return dict(zip(calls, client.gather(begun), strict=True))


def _pieces(parts: Sequence[Path]) -> Iterator[bytes]:
    """Yield the joined parts; small ones go together."""
    gathered = bytearray()
    for part in parts:
        with part.open("rb") as file:
            while piece := file.read(PIECE_BYTES - len(gathered)):
                gathered += piece
                if len(gathered) == PIECE_BYTES:
                    yield bytes(gathered)
                    gathered.clear()
    if gathered or not any(part.stat().st_size for part in parts):
        yield bytes(gathered)


# What runs in a Dask worker.


def find_file(path: Path, digest: str) -> tuple[Path, str] | None:
    """Return a file's path and SHA-256: its own, or where it was sent to; None: not here."""
    try:
        return path, digest_of(_parts_of(path), lambda done, total: None)
    except OSError:
        received = _received(digest, path.suffix)
        return (received, digest) if received.exists() else None


def _received(digest: str, suffix: str) -> Path:
    """Return where a file that is sent goes: into the folder that Dask removes with the worker.

    It keeps its suffix, which says how a file of strings is written.
    """
    from distributed import get_worker

    return Path(get_worker().local_directory) / f"aibench-fast-{digest}{suffix}"


def write_piece(digest: str, suffix: str, number: int, piece: bytes) -> None:
    """Write a piece of a file that is sent; the first one begins it anew."""
    with partial_of(_received(digest, suffix)).open("ab" if number else "wb") as file:
        file.write(piece)


def keep_file(digest: str, suffix: str, members: Sequence[tuple[str, int]]) -> Path:
    """Give a file that was sent whole its name, and return that; ConfigError where it is not.

    `members` are the names and sizes of a folder's files, which it is taken apart into.
    """
    path = _received(digest, suffix)
    partial = partial_of(path)
    with partial.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise ConfigError(f"{path}: what was sent has the SHA-256 {found}, not {digest}")
    if members:
        _take_apart(partial, members)
    partial.rename(path)
    return path


def _take_apart(whole: Path, members: Sequence[tuple[str, int]]) -> None:
    """Make a file a folder of that name."""
    folder = whole.with_name(f"{whole.name}.parts")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with whole.open("rb") as file:
        for name, size_bytes in members:
            with (folder / name).open("wb") as member:
                left_bytes = size_bytes
                while piece := file.read(min(left_bytes, PIECE_BYTES)):
                    left_bytes -= member.write(piece)
    whole.unlink()
    folder.rename(whole)
