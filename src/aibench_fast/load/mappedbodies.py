"""Bodies of requests in mapped files, from which they are sent without a copy."""

from pathlib import Path

from aibench_fast._core import Tensors
from aibench_fast.errors import ConfigError
from aibench_fast.tensors.bodies import are_lines, files_of, line_of
from aibench_fast.tensortype import joined_strings

_MAPS = Path("/proc/sys/vm/max_map_count")
_OTHER_MAPS = 2000
"""Of the process, beside those of bodies."""


class Bodies:
    """Bodies in mapped files; like `Strings`, of one string each."""

    def __init__(self, mapped: Tensors) -> None:
        """With the bytes of each body."""
        self.mapped = mapped

    def __len__(self) -> int:
        """Return the number of bodies."""
        return len(self.mapped)

    def read(self, first: int, count: int) -> bytes:
        """Return `count` of them from index `first` on; the first follows the last."""
        places = (place % len(self) for place in range(first, first + count))
        return joined_strings([self.mapped.read(place, 1) for place in places])


def open_bodies(path: Path, *, as_json: bool = False) -> Bodies:
    """Map the bodies: each line of a .jsonl file, or each file whole.

    ConfigError if a file cannot be mapped, if there are more than the system maps, or with
    `as_json` if one is not JSON.
    """
    files = files_of(path)
    most = int(_MAPS.read_text()) - _OTHER_MAPS
    if len(files) > most:
        raise ConfigError(
            f"bodies {path}: {len(files):,} files, and this system maps {most:,} of them at most: "
            "give a folder with fewer, or raise it by sysctl vm.max_map_count"
        )
    if strange := next((one for one in files if one.exists() and not one.is_file()), None):
        raise ConfigError(f"bodies {strange}: it is not a file; leave it out")
    try:
        mapped = Tensors.open_lines(path) if are_lines(path) else Tensors.open_files(files)
        wrong = mapped.first_not_json() if as_json else None
    except ConfigError as error:
        raise ConfigError(f"bodies {path}: {error}") from error
    if wrong is not None:
        place, reason = wrong
        where = f"{path}, line {line_of(path, place)}" if are_lines(path) else str(files[place])
        raise ConfigError(
            f"bodies {where}: it is not JSON: {reason}; mend it, or give its own `content_type`"
        )
    return Bodies(mapped)
