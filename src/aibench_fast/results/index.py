"""An index of a folder's results: what was read of each file, as long as the file is the same.

It is a Parquet file in the folder, with a row for each result, and may be removed at any time. A
file's size and time of change tell whether its row holds. Without pyarrow, of the extra `index`, in
a folder that cannot be written to, or where the index is broken, the files themselves are read.
"""

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from aibench_fast.errors import ConfigError
from aibench_fast.files import replacing
from aibench_fast.results.files import Cell, RunRecord
from aibench_fast.results.reading import ReadFile
from aibench_fast.results.result import ServerFacts
from aibench_fast.results.search import Search
from aibench_fast.results.serverperiods import ServerUse

if TYPE_CHECKING:
    import pyarrow

NAME = ".aibench-fast-index.parquet"
MIN_FILES = 200
"""Fewer are read as fast as an index is."""
SETTLED_NS = 2_000_000_000
"""A file that is younger may be written again within what its time of change can tell."""
AT_A_TIME = 500
"""Rows that are there as text beside what is made of them."""
LAYOUT = "2"
"""Another where the same file would be read into another row."""


class FileState(NamedTuple):
    """By what it is seen whether a file is still the same."""

    size_bytes: int
    changed_ns: int


def read_by_index(
    folder: Path, files: Sequence[Path], read: Callable[[Sequence[Path]], Sequence[ReadFile]]
) -> dict[Path, ReadFile]:
    """What each of a folder's files is, from the index where that holds, else by `read`.

    The index is made, or made anew, where it lacks any. A file that is no result is never in it:
    it may be one at the next reading.
    """
    try:
        _arrow()
    except ImportError:
        return dict(zip(files, read(files), strict=True))
    states = _states(folder)  # before any is read: what changes meanwhile is read again next time
    with _Index(folder / NAME) as known:
        found = known.rows(files, states)
        others = [file for file in files if file not in found]
        read_now = dict(zip(others, read(others), strict=True))
        known.update(states, read_now)
    return {file: found[file] if file in found else read_now[file] for file in files}


def _states(folder: Path) -> dict[str, FileState]:
    """Of all files of a folder that are old enough to be known by their state."""
    settled_ns = time.time_ns() - SETTLED_NS
    found = {}
    for entry in os.scandir(folder):
        with suppress(OSError):
            told = entry.stat()
            if told.st_mtime_ns <= settled_ns:
                found[entry.name] = FileState(told.st_size, told.st_mtime_ns)
    return found


class _Index:
    """The index file as it was found, held open: another program may replace it meanwhile."""

    def __init__(self, path: Path) -> None:
        """Read which files it knows: none where it is not there, or not this program's."""
        self._path = path
        self._states: dict[str, FileState] = {}
        self._ends = ExitStack()
        with suppress(OSError, _arrow().ArrowException):
            opened = _arrow().parquet.ParquetFile(path, page_checksum_verification=True)
            self._file = self._ends.enter_context(opened)
            if self._file.schema_arrow.equals(_schema(), check_metadata=True):
                columns = self._file.read(["file", "size_bytes", "changed_ns"]).to_pydict().values()
                self._states = {
                    os.fsdecode(name): FileState(size_bytes, changed_ns)
                    for name, size_bytes, changed_ns in zip(*columns, strict=True)
                }

    def __enter__(self) -> Self:
        """It is open already."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self._ends.close()

    def rows(self, files: Sequence[Path], states: Mapping[str, FileState]) -> dict[Path, ReadFile]:
        """What is known of those files that are the same as then; nothing if it is broken."""
        wanted = {file.name: file for file in files if self._holds(file.name, states)}
        parse = cache(json.loads)  # most results of a folder share their facts, also in memory
        found = {}
        try:
            for rows in self._batches(["file", "read", "facts"]):
                for name, read, facts in zip(*(one.to_pylist() for one in rows), strict=True):
                    if path := wanted.get(os.fsdecode(name)):
                        found[path] = _from_json(path, json.loads(read), parse(facts))
        except (OSError, _arrow().ArrowException):
            self._states = {}
            return {}
        return found

    def _batches(self, columns: list[str] | None = None) -> "Iterator[pyarrow.RecordBatch]":
        """The rows, some at a time."""
        if self._states:
            yield from self._file.iter_batches(AT_A_TIME, columns=columns)

    def _holds(self, name: str, states: Mapping[str, FileState]) -> bool:
        return name in self._states and states.get(name) == self._states[name]

    def update(self, states: Mapping[str, FileState], read: Mapping[Path, ReadFile]) -> None:
        """Write it anew, without what does not hold, and with what was read, where that differs."""
        new = [
            (file, one)
            for file, one in read.items()
            if file.name in states and (one.record or one.is_summary)
        ]
        read_names = {file.name for file, _ in new}
        kept = {
            name for name in self._states if name not in read_names and self._holds(name, states)
        }
        if not new and len(kept) == len(self._states):
            return
        # Of a folder that cannot be written to, or where what was kept turns out to be broken.
        with suppress(ConfigError, OSError, _arrow().ArrowException):
            self._write(kept, states, new)

    def _write(
        self,
        kept: Set[str],
        states: Mapping[str, FileState],
        new: Sequence[tuple[Path, ReadFile]],
    ) -> None:
        pyarrow, schema = _arrow(), _schema()
        with (
            replacing(self._path) as file,
            pyarrow.parquet.ParquetWriter(
                file, schema, compression="zstd", write_page_checksum=True
            ) as writer,
        ):
            for rows in self._batches():
                names = map(os.fsdecode, rows.column("file").to_pylist())
                writer.write_batch(rows.filter(pyarrow.array([name in kept for name in names])))
            for first in range(0, len(new), AT_A_TIME):
                made = [
                    {
                        "file": os.fsencode(path.name),
                        **states[path.name]._asdict(),
                        **_to_json(one),
                    }
                    for path, one in new[first : first + AT_A_TIME]
                ]
                writer.write_table(pyarrow.Table.from_pylist(made, schema=schema))


def _arrow() -> Any:
    """The library with its Parquet, which takes a while to import; ImportError where it is not."""
    import pyarrow
    import pyarrow.parquet

    return pyarrow


def _schema() -> "pyarrow.Schema":
    """The columns, and which program wrote them: another may read the same files otherwise."""
    pyarrow = _arrow()
    columns = [
        pyarrow.field("file", pyarrow.binary()),
        pyarrow.field("size_bytes", pyarrow.int64()),
        pyarrow.field("changed_ns", pyarrow.int64()),
        pyarrow.field("read", pyarrow.string()),
        pyarrow.field("facts", pyarrow.string()),
    ]
    record = " ".join(field.name for field in dataclasses.fields(RunRecord))
    written_by = f"aibench-fast {version('aibench-fast')}, layout {LAYOUT}"
    return pyarrow.schema(columns, metadata={"written_by": written_by, "record": record})


_OF_ITS_OWN = ("path", "facts")
"""What is in no row's JSON: the file's name tells the one, and the other has a column."""


def _to_json(read: ReadFile) -> dict[str, str]:
    told: dict[str, Any] = {"reason": read.reason, "is_summary": read.is_summary}
    facts: Mapping[str, Any] = {}
    if read.search:
        told["search"] = read.search.to_json()
    if read.record:
        facts = read.record.facts
        told["record"] = {
            field.name: getattr(read.record, field.name)
            for field in dataclasses.fields(read.record)
            if field.name not in _OF_ITS_OWN
        }
    return {
        "read": json.dumps(told, default=dataclasses.astuple),
        "facts": json.dumps(facts),
    }


def _from_json(path: Path, told: dict[str, Any], facts: Mapping[str, Any]) -> ReadFile:
    search, record = told.pop("search", None), told.pop("record", None)
    return ReadFile(
        **told,
        search=search and Search.from_json(search),
        record=record and _record(path, record, facts),
    )


def _record(path: Path, told: dict[str, Any], facts: Mapping[str, Any]) -> RunRecord:
    server = told["server"]
    told |= {
        "cell": Cell(*told["cell"]),
        "server": server and ServerFacts(*server),
        "server_use": ServerUse(*told["server_use"]),
        "failures": {kind: (count, first) for kind, (count, first) in told["failures"].items()},
    }
    return RunRecord(path=path, facts=facts, **told)
