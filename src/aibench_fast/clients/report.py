"""A client's report to the coordinator, as bytes."""

import json
import zlib
from dataclasses import dataclass

from aibench_fast.results.fieldjson import from_json, to_json
from aibench_fast.results.fields import figure
from aibench_fast.results.result import Result


@dataclass(frozen=True)
class ClientReport:
    """A client's measurements up to a reporting period's end, or its own."""

    result: Result = figure("Result")
    """Without reporting periods: those of all clients are made of the figures at their ends."""
    measured_after_s: float | None = figure("MeasuredAfterSeconds")
    """From the agreed start until its first request is measured; None before that is known."""
    start_lag_s: float = figure("StartLagSeconds")
    """How long after the agreed start its first thread began."""

    @property
    def measured_until_s(self) -> float:
        """From the agreed start to its last measured answer."""
        return (self.measured_after_s or 0.0) + self.result.measured_s


def encode(report: ClientReport) -> bytes:
    """Return it as bytes, for the same version of this program to read."""
    return zlib.compress(json.dumps(to_json(report, exact=True)).encode())


def decode(encoded: bytes) -> ClientReport:
    """Read what `encode` made."""
    report: ClientReport = from_json(ClientReport, json.loads(zlib.decompress(encoded)))
    return report
