"""A journal: what a run that goes on has come to, so that one that is killed is not lost.

JSON lines. The first says what the file is. Each reporting period adds two, written at once: what
is new of the keys of a result that grow as it goes on, and all the rest of the result so far, which
stands for that of every line before. Where lines that are stood for are most of the file, it is
written anew without them, so that it is bounded by the result that it is of.

Nothing is forced on to the disk: what a killed process wrote is the system's to keep.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from aibench_fast.errors import ConfigError
from aibench_fast.files import remove_written, replacing, unwritable, write_text
from aibench_fast.results.result import Result
from aibench_fast.results.serverperiods import OVERALL

FORMAT_VERSION = "1.0"
NEWEST_MAJOR_VERSION = 1
SUFFIX = ".journal"
MIN_STALE_BYTES = 4 << 20
_GROWING = ("ClientRunTimeStats", "ServerPeriods")
_SO_FAR = "SoFar"
_SO_FAR_START = b'{"SoFar": '


def journal_of(result: Path) -> Path:
    """Where a run's journal is while it goes on, by where its result is to be."""
    return result.with_name(result.name + SUFFIX)


class Journal:
    """Keeps the journal of one run, which takes the place of any other in its first period."""

    def __init__(self, path: Path) -> None:
        """Write nothing yet."""
        self._path = path
        self._file: BinaryIO | None = None
        self._intervals = 0
        self._server_periods = 0
        self._kept_bytes = 0
        self._newest_bytes = 0
        self._stale_bytes = 0

    def add(self, so_far: Result, summary: str) -> None:
        """Add what the run came to by now, with its summary; ConfigError where that fails."""
        lines = self._lines(so_far, summary)
        try:
            if self._file is None:
                head = {"Journal": FORMAT_VERSION}
                self._rewrite([_line(head), *lines])
            elif self._stale_bytes > max(MIN_STALE_BYTES, self._kept_bytes):
                self._stale_bytes = 0
                self._rewrite(chain(_without_stale(self._path), lines))
            else:
                self._file.writelines(lines)
                self._file.flush()
        except OSError as error:
            raise unwritable(self._path, error) from error

    def close(self) -> None:
        """Leave it to be recovered."""
        if self._file is not None:
            with suppress(OSError):  # which `add` told of
                self._file.close()

    def remove(self) -> None:
        """Remove it, as the result is saved; and what is left of earlier runs' that were killed."""
        self.close()
        remove_written(self._path)

    def _lines(self, so_far: Result, summary: str) -> tuple[bytes, bytes]:
        stats = so_far.server_stats
        new = {name: stats[name] for name in islice(stats, self._server_periods, None)}
        document = dataclasses.replace(
            so_far,
            intervals=so_far.intervals[self._intervals :],
            server_stats={OVERALL: stats[OVERALL], **new},
            raw_server_stats=_ends(so_far.raw_server_stats),
        ).to_json()
        periods = _line({name: document.pop(name) for name in _GROWING})
        newest = _line({_SO_FAR: document, "Summary": summary})
        self._intervals, self._server_periods = len(so_far.intervals), len(stats)
        self._kept_bytes += len(periods)
        self._stale_bytes += self._newest_bytes
        self._newest_bytes = len(newest)
        return periods, newest

    def _rewrite(self, lines: Iterable[bytes]) -> None:
        self.close()
        with replacing(self._path) as file:
            file.writelines(lines)
        self._file = self._path.open("ab")


@dataclass(frozen=True)
class Recovered:
    """What a journal held."""

    document: Mapping[str, Any]
    """The result as JSON values."""
    summary: str
    """As the run would have printed it."""

    def save(self, path: Path) -> None:
        """Write the result, whole or not at all; ConfigError where it cannot be written."""
        write_text(path, json.dumps(self.document, indent=2) + "\n")


def recover(path: Path) -> Recovered:
    """Read what a run left that was killed; half a line at the end is let go.

    ConfigError where it is no journal, is a newer program's, or holds nothing.
    """
    try:
        with path.open("rb") as file:
            _check_head(path, file.readline())
            return _newest(path, _whole_lines(file))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is a damaged journal: {error!r}") from error


def _newest(path: Path, lines: Iterable[Mapping[str, Any]]) -> Recovered:
    grown: dict[str, dict[str, Any]] = {name: {} for name in _GROWING}
    pending: list[Mapping[str, Any]] = []
    found = None
    for line in lines:
        if _SO_FAR not in line:
            pending.append(line)
            continue
        for periods in pending:
            for name in _GROWING:
                grown[name].update(periods[name])
        pending.clear()
        found = line
    if found is None:
        raise ConfigError(
            f"{path} holds nothing: the run was killed before its first reporting period was over"
        )
    return Recovered({**found[_SO_FAR], **grown}, found["Summary"])


def _check_head(path: Path, line: bytes) -> None:
    if not line:
        raise ConfigError(f"{path} is empty: nothing can be recovered of it")
    try:
        version = str(json.loads(line)["Journal"])
        major = int(version.partition(".")[0])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is no journal of a run: name the {SUFFIX} file beside a --json-out-file"
        ) from error
    if major > NEWEST_MAJOR_VERSION:
        raise ConfigError(
            f"{path} has journal format {version}, this program reads up to "
            f"{NEWEST_MAJOR_VERSION}.x: update it"
        )


def _whole_lines(file: BinaryIO) -> Iterator[Mapping[str, Any]]:
    """Up to the one that was being written when the run was killed."""
    for line in file:
        try:
            yield json.loads(line)
        except ValueError:
            return


def _without_stale(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            if not line.startswith(_SO_FAR_START):
                yield line


def _ends(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The first reading and the newest, of which each is some ten kilobytes."""
    times = [*raw]
    return {time: raw[time] for time in dict.fromkeys([*times[:1], *times[-1:]])}


def _line(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"
