"""The command line as a user calls it."""

import os
import subprocess
import sys
from collections.abc import Callable

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
"""Runs `aibench-fast` in an empty folder with the arguments given, its output into pipes."""


def command(*arguments: object) -> list[str]:
    """An `aibench-fast` command line."""
    return [sys.executable, "-m", "aibench_fast", *map(str, arguments)]


def without_coverage() -> dict[str, str]:
    """The environment for a command whose memory or files are limited: coverage takes some."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}
