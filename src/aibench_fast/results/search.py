"""A search for the highest load within a target: its steps, its answer, and its JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aibench_fast.files import write_text
from aibench_fast.results.fieldjson import from_json, to_json
from aibench_fast.results.fields import figure

UNITS = {
    "rate": "requests/s",
    "workers": "workers",
    "batch-size": "tensors a request",
    "pipeline": "requests outstanding on each connection",
}
"""The settings that a search can vary, and the units of their values."""


@dataclass(frozen=True)
class SearchStep:
    """One run of a search."""

    value: float = figure("Value")
    held: bool = figure("Held")
    result: str = figure("Result")
    """The file of its result, beside the search's own."""


@dataclass(frozen=True)
class Search:
    """The steps of a search and its answer."""

    slo: Sequence[str] = figure("Slo")
    """The targets as expectations, such as `p99<=50ms`."""
    over: str = figure("Over")
    """One of UNITS."""
    found: float | None = figure("Found", default=None)
    """The highest value that held; None without one."""
    fails_at: float | None = figure("FailsAt", default=None)
    """The lowest value that failed; None without one."""
    confirmed: bool = figure("Confirmed", default=False)
    """Whether repeated runs of both agree."""
    interrupted: bool = figure("Interrupted", default=False)
    """Whether it was ended before its answer."""
    steps: Sequence[SearchStep] = figure("Steps", default=())

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"Search": to_json(self)}

    def save(self, path: Path) -> None:
        """Write the JSON, whole or not at all; ConfigError if that fails."""
        write_text(path, json.dumps(self.to_json(), indent=2) + "\n")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Search":
        """Read what `to_json` returns; KeyError, TypeError or ValueError if it is another thing."""
        search: Search = from_json(cls, document["Search"])
        if search.over not in UNITS or not search.steps:
            raise ValueError(f"a search has steps, over one of {', '.join(UNITS)}")
        return search
