"""Results for other programs: one CSV table, or OpenMetrics text."""

from collections.abc import Callable, Sequence

from aibench_fast.results.files import QUANTILES, RunRecord
from aibench_fast.results.tables import to_csv

_MS_PER_S = 1000


def format_csv(records: Sequence[RunRecord]) -> str:
    """One row a result; latencies in milliseconds, empty where a result does not tell."""
    return to_csv([run.row() for run in records])


def format_openmetrics(records: Sequence[RunRecord]) -> str:
    """The OpenMetrics 1.0 text format; times in its unit, seconds. Each result is a label set."""
    lines = [
        *_family(
            "aibench_inferences_per_second", "gauge", "Measured images a second.",
            records, lambda run: [("", "", run.inferences_per_s)],
        ),
        *_family(
            "aibench_request_latency_seconds", "summary", "Latency of the measured successes.",
            records, _latency_samples, unit="seconds",
        ),
        *_family(
            "aibench_failed_requests", "gauge", "Failed requests, those of the burn-in among them.",
            records, lambda run: [("", "", run.failed)],
        ),
        "# EOF",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


Sample = tuple[str, str, float]
"""The name's ending, labels beside the result's, and the value."""


def _family(
    name: str,
    kind: str,
    meaning: str,
    records: Sequence[RunRecord],
    samples: Callable[[RunRecord], list[Sample]],
    unit: str = "",
) -> list[str]:
    lines = [f"# TYPE {name} {kind}"]
    if unit:
        lines.append(f"# UNIT {name} {unit}")
    lines.append(f"# HELP {name} {meaning}")
    for run in records:
        for ending, labels, value in samples(run):
            lines.append(f"{name}{ending}{{{_labels(run)}{labels}}} {value!r}")
    return lines


def _latency_samples(run: RunRecord) -> list[Sample]:
    return [
        ("", f',quantile="{quantile}"', value_ms / _MS_PER_S)
        for name, quantile in QUANTILES.items()
        if (value_ms := run.quantile_ms(name)) is not None
    ]


def _labels(run: RunRecord) -> str:
    labels = {
        "file": run.path.name,
        "path": str(run.path),  # or results of one name in two folders would be one series
        **run.cell._asdict(),
        "model": run.model or "",
        "server": f"{run.server.kind} {run.server.version}" if run.server else "",
    }
    return ",".join(f'{name}="{_escaped(str(value))}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
