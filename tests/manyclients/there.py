"""What tests do inside Dask workers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aibench_fast.clients import files
from aibench_fast.load import facts


def hide(file: Path) -> None:
    """Be on a machine without the file."""

    def seen(parts: Sequence[Path], progress: Any) -> str:
        if file in parts:
            raise FileNotFoundError(file)
        return facts.data_digest(parts, progress)

    files.digest_here = seen


def change() -> None:
    """Be on a machine whose files are others."""
    files.digest_here = lambda parts, progress: "0" * 64


def restore() -> None:
    """Be on this machine again."""
    files.digest_here = facts.data_digest
