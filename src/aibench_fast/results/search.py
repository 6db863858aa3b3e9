"""A search for the highest load within a target: what it tried and found, and its JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aibench_fast.files import write_text

UNITS = {
    "rate": "requests/s",
    "workers": "workers",
    "batch-size": "tensors a request",
    "pipeline": "requests outstanding on each connection",
}
"""What can be searched over, and what its values count."""


@dataclass(frozen=True)
class SearchStep:
    """One run of a search."""

    value: float
    held: bool
    result: str
    """The file of its result, beside the search's own."""


@dataclass(frozen=True)
class Search:
    """What a search tried, and what it came to."""

    slo: Sequence[str]
    """The targets as expectations, such as `p99<=50ms`."""
    over: str
    """One of UNITS."""
    steps: Sequence[SearchStep]
    found: float | None = None
    """The highest value that held; None where none did."""
    fails_at: float | None = None
    """The lowest that did not; None where all did."""
    confirmed: bool = False
    """Whether repeated runs of both say so."""
    interrupted: bool = False
    """Whether it was ended before it knew."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "Search": {
                "Slo": list(self.slo),
                "Over": self.over,
                "Found": self.found,
                "FailsAt": self.fails_at,
                "Confirmed": self.confirmed,
                "Interrupted": self.interrupted,
                "Steps": [
                    {"Value": step.value, "Held": step.held, "Result": step.result}
                    for step in self.steps
                ],
            }
        }

    def save(self, path: Path) -> None:
        """Write the JSON, whole or not at all; ConfigError where it cannot be written."""
        write_text(path, json.dumps(self.to_json(), indent=2) + "\n")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Search":
        """Read what `to_json` returns; KeyError or TypeError where it is something else."""
        told = document["Search"]
        return cls(
            slo=[str(words) for words in told["Slo"]],
            over=str(told["Over"]),
            found=told["Found"],
            fails_at=told.get("FailsAt"),
            confirmed=bool(told.get("Confirmed")),
            interrupted=bool(told.get("Interrupted")),
            steps=[
                SearchStep(step["Value"], bool(step["Held"]), str(step["Result"]))
                for step in told["Steps"]
            ],
        )
