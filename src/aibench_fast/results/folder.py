"""Read results from files and folders."""

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aibench_fast.errors import ConfigError
from aibench_fast.results.files import ReadFile, read_file
from aibench_fast.results.index import MIN_FILES, Progress, read_by_index, read_files
from aibench_fast.results.notebook import ShownInNotebooks
from aibench_fast.results.record import RunRecord
from aibench_fast.results.search import Search

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Skipped:
    """A file that is not a usable result, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        """Return the line that names it."""
        return f"skipped {self.path}: {self.reason}"


@dataclass(frozen=True)
class FoundSearch:
    """A search among the files that were read."""

    path: Path
    search: Search

    @property
    def files(self) -> list[Path]:
        """The results of its steps, in order."""
        return [self.path.parent / step.result for step in self.search.steps]


@dataclass(frozen=True)
class Loaded(Sequence[RunRecord], ShownInNotebooks):
    """The results that were found, by file name, and the files that were skipped."""

    records: Sequence[RunRecord]
    skipped: Sequence[Skipped]
    searches: Sequence[FoundSearch] = ()

    def __getitem__(self, place: Any) -> Any:
        """Return a result, or several by a slice."""
        return self.records[place]

    def __len__(self) -> int:
        """How many results there are."""
        return len(self.records)

    def to_pandas(self) -> "pandas.DataFrame":
        """Return one row a result, as `export --format csv` has them; ConfigError if pandas, of the
        extra `notebook`, is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ConfigError(
                "to_pandas needs pandas, which is not installed: "
                "pip install 'aibench-fast[notebook]'"
            ) from error
        return pandas.DataFrame([record.row() for record in self.records])


def read_results(paths: Path | str | Iterable[Path | str], prefix: str = "") -> Loaded:
    """Read result files and folders of them, ours and aibench's, as `tables` and `report` do.

    Of a folder, read each `.json` whose name begins with `prefix`; files that are not results are
    in `skipped`. A folder with hundreds of files gets an index: see `index`. ConfigError if a path
    does not exist or there is no result.
    """
    several = [paths] if isinstance(paths, str | Path) else [*paths]
    return load(map(Path, several), prefix)


def load(
    paths: Iterable[Path], prefix: str = "", progress: Progress = lambda done, total: None
) -> Loaded:
    """Read result files, and of a folder each `.json` whose name begins with `prefix`.

    A search stands for its steps' results, which are in the same folder. A file that is broken,
    empty, half-written or not a result is skipped. ConfigError if a path does not exist or there is
    no usable result.
    """
    named = list(paths)
    records: list[RunRecord] = []
    skipped: list[Skipped] = []
    searches: list[FoundSearch] = []
    read = _read(named, prefix, progress)
    files = [*read]
    for file in files:  # the list grows when a search names more
        one = read[file]
        if one.record:
            records.append(one.record)
        elif one.search:
            searches.append(found := FoundSearch(file, one.search))
            more = [step for step in dict.fromkeys(found.files) if step not in read]
            read |= {step: read_file(step) for step in more}
            files += more
        elif file in named or not one.is_summary:  # in a folder its results are there too
            skipped.append(Skipped(file, one.reason))
    if not records:
        where = ", ".join(map(str, named))
        with_prefix = f" whose name begins with {prefix}" if prefix else ""
        raise _with_all(f"no result (.json){with_prefix} in {where}", skipped)
    return Loaded(records, skipped, searches)


def _with_all(message: str, skipped: Sequence[Skipped]) -> ConfigError:
    """Return an error with the first skipped file in its line and all in its traceback."""
    if not skipped:
        return ConfigError(message)
    more = f" and {len(skipped) - 1} more, which --debug names" if len(skipped) > 1 else ""
    error = ConfigError(f"{message}; {skipped[0]}{more}")
    for one in skipped[1:]:
        error.add_note(str(one))
    return error


def _read(paths: Iterable[Path], prefix: str, progress: Progress) -> dict[Path, ReadFile]:
    found: dict[Path, ReadFile] = {}
    read = partial(read_files, progress=progress)
    for path in paths:
        if path.is_dir():
            files = sorted(path.glob(f"{glob.escape(prefix)}*.json"))
            if len(files) < MIN_FILES:
                found |= dict(zip(files, read(files), strict=True))
            else:
                found |= read_by_index(path, files, read)
        elif path.exists():
            found[path] = read_file(path)
        else:
            raise ConfigError(f"there is no file or folder {path}")
    return found
