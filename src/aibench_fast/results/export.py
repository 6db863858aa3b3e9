"""Results for other programs: one CSV table, or OpenMetrics text."""

from collections.abc import Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING

from aibench_fast.results.files import RunRecord
from aibench_fast.results.forms import QUANTILES
from aibench_fast.results.runfigures import time_ms
from aibench_fast.results.stream import QUANTILES as STREAM_QUANTILES
from aibench_fast.results.streamnames import RATES, TIMES
from aibench_fast.results.tables import to_csv

if TYPE_CHECKING:
    from prometheus_client import Metric

_MS_PER_S = 1000


def format_csv(records: Sequence[RunRecord]) -> str:
    """Return one row a result; latencies in milliseconds, empty if a result has none."""
    return to_csv([run.row() for run in records])


def format_openmetrics(records: Sequence[RunRecord]) -> str:
    """Return OpenMetrics 1.0 text: each result is a set of labels, times are in seconds."""
    from prometheus_client.openmetrics.exposition import generate_latest  # takes 70 ms

    families = [
        _family(
            "aibench_inferences_per_second", "gauge", "Measured images a second.",
            [(run, {}, run.inferences_per_s) for run in records],
        ),
        _family(
            "aibench_request_latency_seconds", "summary", "Latency of the measured successes.",
            [
                (run, {"quantile": str(quantile)}, value_ms / _MS_PER_S)
                for run in records
                for name, quantile in QUANTILES.items()
                if (value_ms := run.quantile_ms(name)) is not None
            ],
            unit="seconds",
        ),
        _family(
            "aibench_failed_requests", "gauge", "Failed requests, those of the warm-up included.",
            [(run, {}, run.failed) for run in records],
        ),
        *_stream_families([run for run in records if run.stream]),
    ]  # fmt: skip
    text: bytes = generate_latest(SimpleNamespace(collect=lambda: families))
    return text.decode()


def _stream_families(records: Sequence[RunRecord]) -> Iterator["Metric"]:
    """Yield the figures of streams of tokens, none if no result has any."""
    if not records:
        return
    for rate in RATES:
        samples: list[Sample] = [
            (run, {}, value)
            for run in records
            if (value := (run.stream or {}).get(rate.key)) is not None
        ]
        words = rate.words
        name = f"aibench_{words.replace(' ', '_')}"
        yield _family(name, "gauge", f"{words.capitalize()}.", samples)
    for times in TIMES:
        samples = [
            (run, {"quantile": str(quantile)}, value_ms / _MS_PER_S)
            for run in records
            for name, quantile in STREAM_QUANTILES.items()
            if (value_ms := time_ms(run, times, name)) is not None
        ]
        name = f"aibench_{times.words.replace(' ', '_')}_seconds"
        meaning = f"{times.words.capitalize()} of streams of tokens."
        yield _family(name, "summary", meaning, samples, unit="seconds")


Sample = tuple[RunRecord, dict[str, str], float]
"""A result, labels beside those of the result, and the value."""


def _family(
    name: str, kind: str, meaning: str, samples: Iterable[Sample], unit: str = ""
) -> "Metric":
    from prometheus_client import Metric

    family = Metric(name, meaning, kind, unit)
    for run, labels, value in samples:
        family.add_sample(name, _labels(run) | labels, value)
    return family


def _labels(run: RunRecord) -> dict[str, str]:
    labels = {
        "file": run.path.name,
        "path": run.path,  # or results of one name in two folders would be one series
        **run.cell.values,
        "model": run.model or "",
        "server": f"{run.server.kind} {run.server.version}" if run.server else "",
    }
    return {  # with escapes for what is not UTF-8 in a file's name
        name: str(value).encode(errors="backslashreplace").decode()
        for name, value in labels.items()
        if value is not None
    }
