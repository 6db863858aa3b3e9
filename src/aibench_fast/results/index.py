"""An index of a folder's results: what was read of each file, as long as the file is the same.

It is a Parquet file in the folder, with a row for each result, and may be removed at any time. A
file's size and time of change tell whether its row holds. Without pyarrow, of the extra `index`, in
a folder that cannot be written to, or where the index is broken, the files themselves are read.
"""

import dataclasses
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
LAYOUT = "1"
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
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        return dict(zip(files, read(files), strict=True))
    states = _states(folder)  # before any is read: what changes meanwhile is read again next time
    known = _Index.open(folder / NAME)
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
    """The index file, as it was found."""

    def __init__(self, path: Path, table: "pyarrow.Table") -> None:
        self._path = path
        self._table = table
        columns = (table[name].to_pylist() for name in ("file", "size_bytes", "changed_ns"))
        self._states = {
            os.fsdecode(name): FileState(size_bytes, changed_ns)
            for name, size_bytes, changed_ns in zip(*columns, strict=True)
        }

    @classmethod
    def open(cls, path: Path) -> "_Index":
        """Read it; it is empty where there is none that can be read by this program."""
        import pyarrow.parquet

        schema = _schema()
        try:
            table = pyarrow.parquet.read_table(path, page_checksum_verification=True)
        except (OSError, pyarrow.ArrowException):
            table = None
        if table is None or not table.schema.equals(schema, check_metadata=True):
            table = schema.empty_table()
        return cls(path, table)

    def rows(self, files: Sequence[Path], states: Mapping[str, FileState]) -> dict[Path, ReadFile]:
        """What is known of those files that are the same as then."""
        wanted = {file.name: file for file in files if self._holds(file.name, states)}
        parse = cache(json.loads)  # most results of a folder share their facts, also in memory
        found = {}
        names = iter(self._states)
        for rows in self._table.select(["read", "facts"]).to_batches(AT_A_TIME):
            for read, facts in zip(*(column.to_pylist() for column in rows), strict=True):
                if file := wanted.get(next(names)):
                    found[file] = _from_json(file, json.loads(read), parse(facts))
        return found

    def _holds(self, name: str, states: Mapping[str, FileState]) -> bool:
        return name in self._states and states.get(name) == self._states[name]

    def update(self, states: Mapping[str, FileState], read: Mapping[Path, ReadFile]) -> None:
        """Write it anew, without what does not hold, and with what was read, where that differs."""
        import pyarrow

        new = {
            file.name: (states[file.name], one)
            for file, one in read.items()
            if file.name in states and (one.record or one.is_summary)
        }
        kept = [
            place for place, name in enumerate(self._states)
            if name not in new and self._holds(name, states)
        ]  # fmt: skip
        if not new and len(kept) == len(self._states):
            return
        rows = [
            {"file": os.fsencode(name), **state._asdict(), **_to_json(one)}
            for name, (state, one) in new.items()
        ]
        added = pyarrow.Table.from_pylist(rows, schema=self._table.schema)
        with suppress(ConfigError):  # of a folder that cannot be written to
            self._write(
                pyarrow.concat_tables(
                    [self._table.take(pyarrow.array(kept, pyarrow.int64())), added]
                )
            )

    def _write(self, table: "pyarrow.Table") -> None:
        import pyarrow.parquet

        with replacing(self._path) as file:
            pyarrow.parquet.write_table(table, file, compression="zstd", write_page_checksum=True)


def _schema() -> "pyarrow.Schema":
    """The columns, and which program wrote them: another may read the same files otherwise."""
    import pyarrow

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
