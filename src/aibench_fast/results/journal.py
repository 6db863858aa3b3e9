"""The journal of a run: its result so far, so that a killed run is not lost.

Lines of a result's exact JSON, for the same version of this program to read. The first
line has the version. Each reporting period adds two lines, written at once: what is new of the keys
that grow during a run, and the rest of the result so far, which replaces that of earlier lines. A
line ends with a tab and its checksum, so that damage costs only that line. When replaced lines are
most of the file, it is rewritten without them, so its size is bounded by that of the result.

Nothing is synced to disk: the system keeps what a killed process wrote.
"""

import dataclasses
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from aibench_fast.errors import ConfigError, misread
from aibench_fast.files import reading, remove_written, replacing, unwritable
from aibench_fast.results.result import FORMAT_VERSION, Result
from aibench_fast.results.serverperiods import OVERALL

SUFFIX = ".journal"
MIN_STALE_BYTES = 4 << 20
_INTERVALS = "ClientRunTimeStats"
_GROWING = (_INTERVALS, "ServerPeriods")
"""Keys whose objects grow as a run goes on."""
_SO_FAR = "SoFar"
_PERIODS = "Periods"
"""How many reporting periods there were by then."""
_SO_FAR_START = b'{"SoFar": '


def journal_of(result: Path) -> Path:
    """Return the path of a run's journal, from that of its result."""
    return result.with_name(result.name + SUFFIX)


class Journal:
    """Keeps the journal of one run. The first period replaces any other journal at its path."""

    def __init__(self, path: Path) -> None:
        """Write nothing yet."""
        self._path = path
        self._file: BinaryIO | None = None
        self._intervals = 0
        self._server_periods = 0
        self._kept_bytes = 0
        self._newest_bytes = 0
        self._stale_bytes = 0

    def add(self, so_far: Result) -> None:
        """Add the result so far; ConfigError if that fails."""
        lines = self._lines(so_far)
        try:
            if self._file is None:
                head = json.dumps({"Journal": FORMAT_VERSION}).encode() + b"\n"
                self._rewrite([head, *lines])
            elif self._stale_bytes > max(MIN_STALE_BYTES, self._kept_bytes):
                self._stale_bytes = 0
                self._rewrite(chain(_without_stale(self._path), lines))
            else:
                self._file.writelines(lines)
                self._file.flush()
        except OSError as error:
            raise unwritable(self._path, error) from error

    def close(self) -> None:
        """Close the file, to be recovered."""
        if self._file is not None:
            with suppress(OSError):  # `add` has reported it
                self._file.close()

    def remove(self) -> None:
        """Remove it after the result is saved, with what is left of earlier killed runs."""
        self.close()
        remove_written(self._path)

    def _lines(self, so_far: Result) -> tuple[bytes, bytes]:
        stats = so_far.server.periods
        new = {name: stats[name] for name in islice(stats, self._server_periods, None)}
        plain = dataclasses.replace(
            so_far,
            intervals=so_far.intervals[self._intervals :],
            server=dataclasses.replace(
                so_far.server,
                periods={OVERALL: stats[OVERALL], **new},
                readings=_ends(so_far.server.readings),
            ),
        ).to_json(exact=True)
        periods = _line({name: plain.pop(name) for name in _GROWING})
        newest = _line({_SO_FAR: plain, _PERIODS: len(so_far.intervals)})
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


def recover(path: Path, note: Callable[[str], None] = lambda words: None) -> Result:
    """Read the last result of a run that was killed; ignore half a line at the end.

    Damaged lines are left out, and `note` is called with what is lost. ConfigError if the file is
    not a journal, is another version's, or has no result yet.
    """
    try:
        with reading(f"cannot read {path}"), path.open("rb") as file:
            _check_head(path, file.readline())
            found = _read_lines(file)
        if found.newest is not None:
            result = Result.from_json({**found.newest, **found.growing})
            if found.damaged:
                note(f"{path} is damaged: {found.loss()}")
            return result
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path} is a damaged journal: {misread(error)}") from error
    if found.damaged:
        raise ConfigError(f"{path} is a damaged journal: none of its states is whole")
    raise ConfigError(
        f"{path} holds nothing: the run was killed before its first reporting period was over"
    )


@dataclasses.dataclass
class _Found:
    """The content of the whole lines of a journal."""

    newest: Mapping[str, Any] | None = None
    """The last state of the keys that do not grow."""
    periods: int = 0
    """How many reporting periods there were by then."""
    growing: dict[str, dict[str, Any]] = dataclasses.field(
        default_factory=lambda: {key: {} for key in _GROWING}
    )
    """Everything that was added to each of the keys that grow."""
    damaged: int = 0
    """Damaged lines."""
    damaged_since: int = 0
    """Damaged lines after the newest state."""

    def loss(self) -> str:
        """Return what is not recovered, in words."""
        lines = "1 line is" if self.damaged == 1 else f"{self.damaged} lines are"
        missing = self.periods - len(self.growing[_INTERVALS])
        lost = [f"{missing} of {self.periods} reporting periods"] if missing else []
        if self.damaged_since:
            lost.append("all that came after the last state that is whole")
        are = "are" if missing > 1 else "is"
        return f"{lines} left out; {' and '.join(lost) or 'nothing'} {are} lost"


def _read_lines(file: BinaryIO) -> _Found:
    found = _Found()
    pending: list[Mapping[str, Any]] = []
    for line in file:
        values = _checked(line)
        if values is None:
            # The line that was being written when the run was killed does not count as damage.
            if line.endswith(b"\n"):
                found.damaged += 1
                found.damaged_since += 1
        elif _SO_FAR not in values:
            pending.append(values)
        else:
            for periods in pending:
                for key, grown in found.growing.items():
                    grown |= periods[key]
            pending.clear()
            found.newest, found.periods = values[_SO_FAR], values[_PERIODS]
            found.damaged_since = 0
    return found


def _check_head(path: Path, line: bytes) -> None:
    if not line:
        raise ConfigError(f"{path} is empty: there is nothing to recover")
    try:
        version = json.loads(line)["Journal"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is not a run's journal: name the {SUFFIX} file beside a --json-out-file"
        ) from error
    if version != FORMAT_VERSION:
        raise ConfigError(
            f"{path} is a journal of result format {version}, this program's is {FORMAT_VERSION}: "
            "recover it with the version that made the run"
        )


def _without_stale(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            if not line.startswith(_SO_FAR_START):
                yield line


def _ends(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first reading and the newest; each is some ten kilobytes."""
    times = [*raw]
    return {time: raw[time] for time in dict.fromkeys([*times[:1], *times[-1:]])}


def _line(values: Mapping[str, Any]) -> bytes:
    text = json.dumps(values).encode()
    return b"%b\t%08x\n" % (text, zlib.crc32(text))


def _checked(line: bytes) -> Mapping[str, Any] | None:
    """Return the values of a line; None if it is damaged."""
    text, _, checksum = line.rpartition(b"\t")
    if checksum != b"%08x\n" % zlib.crc32(text):
        return None
    values: Mapping[str, Any] = json.loads(text)
    return values
