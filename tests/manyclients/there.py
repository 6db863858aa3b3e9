"""What tests do inside Dask workers."""

from pathlib import Path
from typing import Any

from aibench_fast.clients import files
from aibench_fast.load import facts


def hide(file: Path) -> None:
    """Be on a machine without the file."""

    def seen(path: Path, progress: Any) -> str:
        if path == file:
            raise FileNotFoundError(path)
        return facts.data_digest(path, progress)

    files.digest_here = seen


def change() -> None:
    """Be on a machine whose files are others."""
    files.digest_here = lambda path, progress: "0" * 64


def restore() -> None:
    """Be on this machine again."""
    files.digest_here = facts.data_digest
