"""Functions that tests run inside Dask workers."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aibench_fast.clients import clocks, drive, files
from aibench_fast.tensors.digests import digest_of

BOOT_ID = clocks._BOOT_ID


def hide(file: Path) -> None:
    """Be on a machine without the file."""

    def seen(parts: Sequence[Path], progress: Any) -> str:
        if file in parts:
            raise FileNotFoundError(file)
        return digest_of(parts, progress)

    files.digest_of = seen


def change() -> None:
    """Be on a machine whose files are others."""
    files.digest_of = lambda parts, progress: "0" * 64


def hide_boot_id() -> None:
    """Be on a machine that does not say which boot its clock is of."""
    clocks._BOOT_ID = Path("/nowhere")
    clocks.clock_id.cache_clear()


def rename_clock_each_time() -> None:
    """Have a clock that the coordinator cannot know."""
    drive.clock_id = lambda: secrets.token_hex(8)


def restore() -> None:
    """Be on this machine again."""
    files.digest_of = digest_of
    clocks._BOOT_ID = BOOT_ID
    drive.clock_id = clocks.clock_id
    clocks.clock_id.cache_clear()
