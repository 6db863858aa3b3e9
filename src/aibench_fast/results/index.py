"""Read many result files: in several processes, and by an index that is left in their folder.

The index has what was read of each file, for as long as the file is the same. It is an SQLite
database in the folder, with a row for each result, and may be removed at any time. A row is valid
while its file has the same size and time of change. The database is never changed: a new one takes
its place, so nobody waits for a lock, and the file system need not have any. If it is broken, or
the folder cannot be written to, the files themselves are read.
"""

import dataclasses
import json
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from functools import cache
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from aibench_fast.errors import ConfigError
from aibench_fast.files import replacing
from aibench_fast.results.files import ReadFile, read_file
from aibench_fast.results.groups import ServerFacts
from aibench_fast.results.record import Cell, RunRecord
from aibench_fast.results.search import Search
from aibench_fast.results.serverperiods import ServerUse

SHARE = 1000
"""Files for one process, about a second's work; fewer are not worth starting one."""
NAME = ".aibench-fast-index.sqlite"
MIN_FILES = 200
"""Fewer are read as fast as an index is."""
SETTLED_NS = 2_000_000_000
"""A file that is younger may be written again without another time of change."""
LAYOUT = "5"
"""Another if the same file would be read into another row."""
Progress = Callable[[int, int], None]
"""Called with how many more files were read, and how many there are to read in all."""
_State = tuple[int, int]
"""Size and time of change, which show whether a file is still the same."""


def read_files(
    paths: Sequence[Path], progress: Progress = lambda done, total: None
) -> list[ReadFile]:
    """Read files in order."""
    found: list[ReadFile] = []
    for share in _read_shares(paths):
        found += share
        progress(len(share), len(paths))
    return found


def _read_shares(paths: Sequence[Path]) -> Iterator[list[ReadFile]]:
    shares = [paths[first : first + SHARE] for first in range(0, len(paths), SHARE)]
    processes = min(len(shares), len(os.sched_getaffinity(0)))
    if processes < 2:
        yield from ([read_file(path)] for path in paths)
        return
    with ThreadPoolExecutor(processes) as pool:
        yield from pool.map(_read_elsewhere, shares)


def _read_elsewhere(paths: Sequence[Path]) -> list[ReadFile]:
    """Read files in a new process, which shares no threads or locks with this one."""
    program = f"from {__name__} import read_for_parent; read_for_parent()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps(paths), stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    found: list[ReadFile] = pickle.loads(done.stdout)
    return found


def read_for_parent() -> None:
    """Run in that process: read the paths from stdin, write what was read to stdout."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    paths = pickle.load(sys.stdin.buffer)
    pickle.dump([read_file(path) for path in paths], sys.stdout.buffer)


class _Row(NamedTuple):
    file: bytes
    size_bytes: int
    changed_ns: int
    read: str
    facts: str
    """Apart, for most results of a folder have the same."""
    checksum: int


_COLUMNS = ", ".join(_Row._fields)


def read_by_index(
    folder: Path, files: Sequence[Path], read: Callable[[Sequence[Path]], Sequence[ReadFile]]
) -> dict[Path, ReadFile]:
    """Return what each of a folder's files is, from the index if that is valid, else by `read`.

    The index is written if it lacks any. A file that is not a result is never in it: it may be one
    at the next reading.
    """
    states = _states(folder)  # before any is read: what changes meanwhile is read again next time
    with ExitStack() as ends:
        index = _Index(folder / NAME, states, ends)
        found = index.read(files)
        others = [file for file in files if file not in found]
        read_now = dict(zip(others, read(others), strict=True))
        index.update(read_now)
    found |= read_now
    return {file: found[file] for file in files}


def _states(folder: Path) -> dict[bytes, _State]:
    """The state of each file by name, of those old enough to be known by it."""
    settled_ns = time.time_ns() - SETTLED_NS
    found = {}
    for entry in os.scandir(folder):
        with suppress(OSError):
            status = entry.stat()
            if status.st_mtime_ns <= settled_ns:
                name = os.fsencode(entry.name)
                found[name] = status.st_size, status.st_mtime_ns
    return found


class _Index:
    """The index as it was found, held open: another program may replace it meanwhile."""

    def __init__(self, path: Path, states: Mapping[bytes, _State], ends: ExitStack) -> None:
        self._path = path
        self._states = states
        self._database: sqlite3.Connection | None = None
        self._has_outdated = False
        self._program = _program()
        with suppress(sqlite3.Error):
            self._database = ends.enter_context(closing(_connected(path, "immutable=1")))

    def read(self, files: Iterable[Path]) -> dict[Path, ReadFile]:
        """Return what is known of those files that are still the same; nothing if it is broken."""
        wanted = {os.fsencode(file.name): file for file in files}
        parse = cache(json.loads)  # of the same facts one copy in memory
        found = {}
        try:
            for row in self._rows():
                if not self._is_valid(row):
                    self._has_outdated = True
                elif path := wanted.get(row.file):
                    found[path] = _from_json(path, json.loads(row.read), parse(row.facts))
        except sqlite3.Error:
            self._database = None
            return {}
        return found

    def _rows(self) -> Iterator[_Row]:
        """Read row by row; sqlite3.Error if it is broken or another version's."""
        if self._database:
            rows = self._database.execute(f"SELECT {_COLUMNS} FROM results")
            for row in map(_Row._make, rows):
                if row.checksum != _checksum(self._program, row[:-1]):
                    raise sqlite3.DatabaseError("a row is not as it was written")
                yield row

    def _is_valid(self, row: _Row) -> bool:
        return self._states.get(row.file) == (row.size_bytes, row.changed_ns)

    def update(self, read: Mapping[Path, ReadFile]) -> None:
        """Write it anew, without what is outdated and with what was read, if there is any."""
        new = {
            name: one
            for file, one in read.items()
            if (name := os.fsencode(file.name)) in self._states and (one.record or one.is_summary)
        }
        if not new and not self._has_outdated:
            return
        rows = chain(
            filter(self._is_valid, self._rows()),
            (self._row(name, one) for name, one in new.items()),
        )
        # A folder that cannot be written to has no index.
        with suppress(ConfigError, OSError, sqlite3.Error), replacing(self._path) as file:
            _write(Path(file.name), rows)

    def _row(self, name: bytes, read: ReadFile) -> _Row:
        values = (name, *self._states[name], *_to_json(read))
        return _Row(*values, _checksum(self._program, values))


def _write(path: Path, rows: Iterable[_Row]) -> None:
    with closing(_connected(path, "nolock=1")) as database:
        # Until it is whole it has another name, and no journal beside it.
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute(f"CREATE TABLE results ({_COLUMNS})")
        places = ", ".join("?" * len(_Row._fields))
        database.executemany(f"INSERT INTO results VALUES ({places})", rows)
        database.commit()


def _connected(path: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)


def _checksum(program: int, values: tuple[Any, ...]) -> int:
    """Return that of a row and the program that wrote it: another may read the file otherwise."""
    return zlib.crc32(repr(values).encode(), program)


def _program() -> int:
    record = " ".join(field.name for field in dataclasses.fields(RunRecord))
    return zlib.crc32(f"{version('aibench-fast')}, layout {LAYOUT}: {record}".encode())


_OF_ITS_OWN = ("path", "facts")
"""Not in a row's JSON: the one is made of the file's name, and the other has a column."""


def _to_json(read: ReadFile) -> tuple[str, str]:
    values: dict[str, Any] = {"reason": read.reason, "is_summary": read.is_summary}
    facts: Mapping[str, Any] = {}
    if read.search:
        values["search"] = read.search.to_json()
    if read.record:
        facts = read.record.facts
        values["record"] = {
            field.name: getattr(read.record, field.name)
            for field in dataclasses.fields(read.record)
            if field.name not in _OF_ITS_OWN
        }
    return json.dumps(values, default=dataclasses.astuple), json.dumps(facts)


def _from_json(path: Path, values: dict[str, Any], facts: Mapping[str, Any]) -> ReadFile:
    search, record = values.pop("search", None), values.pop("record", None)
    if record:
        server, failures = record["server"], record["failures"]
        record |= {
            "cell": Cell(*record["cell"]),
            "server": server and ServerFacts(*server),
            "server_use": ServerUse(*record["server_use"]),
            "failures": {kind: (count, first) for kind, (count, first) in failures.items()},
        }
    return ReadFile(
        **values,
        search=search and Search.from_json(search),
        record=record and RunRecord(path=path, facts=facts, **record),
    )
