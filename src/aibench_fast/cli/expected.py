"""What was expected of runs, and what came of it."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from aibench_fast.files import write_text
from aibench_fast.load.thresholds import Expectation
from aibench_fast.report.junit import format_junit
from aibench_fast.results.result import Result


def checked(result: Result, expected: Sequence[Expectation]) -> Result:
    """The result with what was expected of it."""
    return dataclasses.replace(result, expectations=[one.check(result) for one in expected])


def write_junit(file: Path | None, runs: Iterable[tuple[str, Result]]) -> None:
    """Save what held and what did not where --junit asks for it; ConfigError as `write_text`."""
    if file is not None:
        write_text(file, format_junit((name, result.expectations) for name, result in runs))
