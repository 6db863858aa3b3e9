"""Results for other programs: a CSV table, OpenMetrics text, and the form of other tools.

Of streams of tokens, vLLM's benchmark and AIPerf: each form has the tool's keys, and figures as
near to the tool's definitions as a result allows; docs/streams.md has where they differ.
"""

import json
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from operator import mul
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aibench_fast.errors import ConfigError
from aibench_fast.results.forms import QUANTILES
from aibench_fast.results.record import CLOSED_LOOP, RunRecord
from aibench_fast.results.runfigures import time_ms
from aibench_fast.results.stream import LENGTHS, StreamFigures, stream_histogram
from aibench_fast.results.stream import QUANTILES as STREAM_QUANTILES
from aibench_fast.results.streamnames import RATES, TIMES
from aibench_fast.results.tables import to_csv

if TYPE_CHECKING:
    from prometheus_client import Metric

_MS_PER_S = 1000
_US_PER_MS = 1000
_AIPERF_SCHEMA = "1.4"
_VLLM_TIMES = {
    "ttft": "TimeToFirstEvent", "tpot": "TimePerOutputToken", "itl": "ChunkGap", "e2el": "EndToEnd",
}  # fmt: skip
"""vLLM takes the first event with choices for a token, also if it has no text."""
_VLLM_PERCENTILES = (90, 95, 99)
_AIPERF_TIMES = {
    "time_to_first_token": "TimeToFirstToken",
    "time_to_first_output_token": "TimeToFirstAnswer",
    "inter_token_latency": "TimePerOutputToken",
    "inter_chunk_latency": "ChunkGap",
    "request_latency": "EndToEnd",
}
_AIPERF_LENGTHS = {
    "output_sequence_length": "OutputTokensPerRequest",
    "input_sequence_length": "InputTokensPerRequest",
}
_AIPERF_PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)


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


class _Values:
    """Values with how often each is there, to the width of a histogram's bucket."""

    def __init__(self, counted: Iterable[tuple[float, int]]) -> None:
        pairs = sorted(counted)
        self._values = [value for value, _ in pairs]
        self._counts = [count for _, count in pairs]
        self._up_to = [*accumulate(self._counts)]
        self.count = self._up_to[-1] if pairs else 0

    def quantile(self, quantile: float) -> float:
        """Return the value at a quantile; 0 without any."""
        if not self.count:
            return 0.0
        return self._values[bisect_left(self._up_to, max(1, math.ceil(quantile * self.count)))]

    @property
    def total(self) -> float:
        """All values added up."""
        return math.fsum(map(mul, self._values, self._counts))

    @property
    def mean(self) -> float:
        """Their mean; 0 without any."""
        return self.total / self.count if self.count else 0.0

    @property
    def deviation(self) -> float:
        """Their standard deviation, likewise."""
        mean = self.mean
        squares = (
            count * (value - mean) ** 2
            for value, count in zip(self._values, self._counts, strict=True)
        )
        return math.sqrt(math.fsum(squares) / self.count) if self.count else 0.0


def like(tool: str, records: Sequence[RunRecord]) -> str:
    """Return results in the form of one of TOOLS, a line of JSON for each; ConfigError if a result
    has no streams of tokens, or no histograms of them.
    """
    return "".join(f"{json.dumps(TOOLS[tool](run))}\n" for run in records)


def _values(run: RunRecord, key: str) -> _Values:
    found = stream_histogram(_stream(run), key)
    unit = _US_PER_MS if key in LENGTHS else 1
    return _Values((value_ms * unit, count) for value_ms, count in found.filled_ms())


def _stream(run: RunRecord) -> Mapping[str, Any]:
    if not run.stream or "Histograms" not in run.stream:
        raise ConfigError(f"{run.path} has no histograms of streams of tokens")
    if missing := StreamFigures.__required_keys__ - run.stream.keys():
        raise ConfigError(f"{run.path} lacks figures of streams: {', '.join(sorted(missing))}")
    return run.stream


def _duration_s(run: RunRecord) -> float:
    """Return the measured time up to the last answer, ramp and drain included, as the tools do."""
    after_s = 0.0 if run.arrivals == CLOSED_LOOP else _stream(run)["DrainSeconds"]
    return (run.measured_s or 0.0) + float(after_s)


def _time(unix_ms: float) -> datetime:
    return datetime.fromtimestamp(unix_ms / _MS_PER_S).astimezone()


def like_vllm(run: RunRecord) -> dict[str, Any]:
    """Return a result as `vllm bench serve --save-result` writes its own."""
    stream, seconds = _stream(run), _duration_s(run)
    completed, requests = run.successes or 0, run.requests or 0
    output, given = stream["OutputTokens"], stream["InputTokens"]
    good = stream["GoodRequests"]
    figures = {
        "date": f"{_time(run.start_unix_ms or 0):%Y%m%d-%H%M%S}",
        "model_id": run.model,
        "num_prompts": requests,
        "request_rate": run.cell.max_rps or "inf",
        "max_concurrency": run.cell.workers,
        "duration": seconds,
        "completed": completed,
        "failed": requests - completed,
        "total_input_tokens": given,
        "total_output_tokens": output,
        "request_throughput": _rate(completed, seconds),
        "request_goodput": None if good is None else _rate(good, seconds),
        "output_throughput": _rate(output, seconds),
        "total_token_throughput": _rate(output + given, seconds),
    }
    for name, key in _VLLM_TIMES.items():
        values = _values(run, key)
        figures |= {
            f"mean_{name}_ms": values.mean,
            f"median_{name}_ms": values.quantile(0.5),
            f"std_{name}_ms": values.deviation,
        }
        for percentile in _VLLM_PERCENTILES:
            figures[f"p{percentile}_{name}_ms"] = values.quantile(percentile / 100)
    return figures


def _rate(count: float, seconds: float) -> float:
    return count / seconds if seconds else 0.0


def like_aiperf(run: RunRecord) -> dict[str, Any]:
    """Return a result in the form of AIPerf's profile_export_aiperf.json."""
    stream, seconds = _stream(run), _duration_s(run)
    completed, requests = run.successes or 0, run.requests or 0
    output, given = stream["OutputTokens"], stream["InputTokens"]
    single = {
        "request_throughput": ("requests/sec", _rate(completed, seconds)),
        "request_count": ("requests", completed),
        "error_request_count": ("requests", requests - completed),
        "output_token_throughput": ("tokens/sec", _rate(output, seconds)),
        "total_token_throughput": ("tokens/sec", _rate(output + given, seconds)),
        "total_osl": ("tokens", output),
        "total_isl": ("tokens", given),
        "benchmark_duration": ("sec", seconds),
    }
    if stream["Slo"]:
        single["good_request_count"] = ("requests", stream["GoodRequests"])
        single["goodput"] = ("requests/sec", _rate(stream["GoodRequests"], seconds))
    token_times = stream_histogram(stream, "TimePerOutputToken").filled_ms()
    distributed = {
        **{tag: ("ms", _values(run, key)) for tag, key in _AIPERF_TIMES.items()},
        **{tag: ("tokens", _values(run, key)) for tag, key in _AIPERF_LENGTHS.items()},
        "output_token_throughput_per_user": (
            "tokens/sec/user",
            _Values((_MS_PER_S / ms, count) for ms, count in token_times),
        ),
    }
    end_unix_ms = (run.start_unix_ms or 0) + (run.duration_s or 0.0) * _MS_PER_S
    return {
        "schema_version": _AIPERF_SCHEMA,
        **{tag: {"unit": unit, "avg": value} for tag, (unit, value) in single.items()},
        **{
            tag: _statistics(unit, values)
            for tag, (unit, values) in distributed.items()
            if values.count
        },
        "was_cancelled": run.interrupted,
        "start_time": _time(run.start_unix_ms or 0).replace(tzinfo=None).isoformat(),
        "end_time": _time(end_unix_ms).replace(tzinfo=None).isoformat(),
    }


def _statistics(unit: str, values: _Values) -> dict[str, Any]:
    percentiles = {f"p{one}": values.quantile(one / 100) for one in _AIPERF_PERCENTILES}
    extremes = {"min": values.quantile(0.0), "max": values.quantile(1.0)}
    return {
        "unit": unit, "avg": values.mean, **percentiles, **extremes, "std": values.deviation,
        "count": values.count, "sum": values.total,
    }  # fmt: skip


TOOLS: Mapping[str, Callable[[RunRecord], dict[str, Any]]] = {
    "vllm": like_vllm, "aiperf": like_aiperf,
}  # fmt: skip
"""The writer of a result in a tool's form, by the tool's name."""
