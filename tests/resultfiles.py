"""Result files as the Go aibench and this program write them, with figures made up for a test."""

import base64
import dataclasses
import json
import random
import re
from pathlib import Path
from typing import Any

from aibench_fast._core import Histogram
from aibench_fast.results.clientside import ClientCheck, Verdict
from aibench_fast.results.fields import declared_fields, hints
from aibench_fast.results.figures import Failure
from aibench_fast.results.groups import RequestCounts, ServerFacts
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.result import Interval, Result

START_UNIX_MS = 1_596_741_778_490
EMBEDDED = ServerFacts("aibench-fast embedded server", "0.1.0 on valkey 9.1.2", "localhost:6379")


def latencies(*values_ms: float) -> LatencyHistogram:
    histogram = Histogram()
    for value in values_ms:
        histogram.record(round(value * 1e6))
    counts = histogram.counts()
    return LatencyHistogram.from_counts(counts.counts, counts.min_us, counts.max_us)


def grouped(**values: Any) -> dict[str, Any]:
    """Fields of a result, each in the group that has it: `reconnects` is in `connections`."""
    kinds = {one.name: one for one in dataclasses.fields(Result)}
    groups = {
        name: kinds[name].type for name, one in declared_fields(Result).items() if one.is_group
    }
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name in kinds and not (name in groups and isinstance(value, dict)):
            found[name] = value
            continue
        (group,) = (
            one for one, kind in groups.items()
            if name == one or name in {field.name for field in dataclasses.fields(kind)}
        )  # fmt: skip
        found.setdefault(group, {}).update(value if name == group else {name: value})
    return found


def made(**values: Any) -> Result:
    """A result of all its fields, whatever groups they are in."""
    kinds = hints(Result)
    return Result(
        **{
            name: kinds[name](**value) if dataclasses.is_dataclass(kinds[name]) else value
            for name, value in ({"streamed": {}} | grouped(**values)).items()
        }
    )


def changed(result: Result, **values: Any) -> Result:
    """The result with other values of some fields, whatever groups they are in."""
    return dataclasses.replace(
        result,
        **{
            name: dataclasses.replace(getattr(result, name), **value)
            if isinstance(value, dict) and dataclasses.is_dataclass(getattr(result, name))
            else value
            for name, value in grouped(**values).items()
        },
    )


def go_document(
    workers: int, autobatching: int, batch_size: int, rate: float, p50_ms: float
) -> dict[str, Any]:
    """The Go tool's JSON: no keys of ours, the histogram in base64 twice."""
    encoded = latencies(*[p50_ms] * 3).encode()
    return {
        "ResultFormatVersion": "",
        "Limit": 5000,
        "MetadataAutobatching": autobatching,
        "TensorBatchSize": batch_size,
        "Workers": workers,
        "MaxRps": 0,
        "DBSpecificConfigs": None,
        "StartTime": START_UNIX_MS // 1000,
        "EndTime": START_UNIX_MS // 1000 + 100,
        "DurationMillis": 100_000,
        "Totals": None,
        "OverallRates": {"overallOpsRate": rate},
        "OverallRatesIncludingWarmup": {"overallOpsRate": rate},
        "OverallQuantiles": {
            "AllQueries": {
                "q0": p50_ms * 0.9, "q50": p50_ms, "q95": p50_ms * 1.2, "q99": p50_ms * 1.5,
                "q999": p50_ms * 2, "q100": p50_ms * 3,
            },
            "EncodedHistogram": base64.b64encode(encoded.encode()).decode(),
        },
        "ClientRunTimeStats": {},
        "ServerRunTimeStats": {},
    }  # fmt: skip


def result_name(prefix: str, cell: tuple[int, int, int], run: int = 1) -> str:
    workers, autobatching, batch_size = cell
    return (
        f"JSON_redisai_{prefix}_cpu_run_{run}_workers_{workers}_autobatching_{autobatching}"
        f"_tensorbatchsize_{batch_size}_rate_0.json"
    )


def write(folder: Path, name: str, document: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(document))
    return path


def write_go_results(folder: Path, prefix: str, tables: str) -> None:
    """Write the Go tool's results that printed `tables` are the summary of."""
    rates: dict[tuple[int, int, int], float] = {}
    p50s: dict[tuple[int, int, int], float] = {}
    found = rates
    columns: list[str] = []
    for line in tables.splitlines():
        if line.startswith("## "):
            found = rates if "throughput" in line else p50s
        elif line.startswith("Workers,"):
            columns = line.split(",")[1:]
        elif match := re.match(r"(\d+) workers,", line):
            for column, value in zip(columns, line.split(",")[1:], strict=True):
                if value != "n/a":
                    batching = int(column.split()[-1])
                    auto = column.startswith("Auto")
                    cell = (int(match[1]), batching if auto else 0, 1 if auto else batching)
                    found[cell] = float(value)
    for cell, rate in rates.items():
        write(folder, result_name(prefix, cell), go_document(*cell, rate, p50s[cell]))


def our_result(
    *,
    workers: int = 4,
    autobatching: int = 0,
    batch_size: int = 1,
    rate: float = 100.0,
    p50_ms: float = 20.0,
    seconds: int = 20,
    burn_in_s: int = 4,
    failures: int = 0,
    seed: int = 1,
    **changes: Any,
) -> Result:
    """A run of ours whose figures look like one: noise, a tail, a burn-in."""
    rng = random.Random(seed)
    measured_s = seconds - burn_in_s
    requests = round(rate * measured_s / batch_size)
    values = [p50_ms * rng.lognormvariate(0, 0.12) for _ in range(requests)]
    values += [p50_ms * rng.uniform(1.5, 4) for _ in range(max(1, requests // 100))]
    histogram = latencies(*values[-requests:])
    quantiles = histogram.quantiles_ms((0.5, 0.9, 0.95, 0.99, 0.99999))
    intervals = []
    for second in range(1, seconds + 1):
        slow = 0.8 if second <= burn_in_s else 1.0
        intervals.append(
            Interval(
                unix_ms=START_UNIX_MS + second * 1000,
                images=round(rate * second),
                instantaneous_rate=rate * slow * rng.uniform(0.95, 1.05),
                overall_rate=rate * rng.uniform(0.99, 1.01) if second > burn_in_s else 0.0,
                quantiles_ms=[q * rng.uniform(0.98, 1.02) for q in quantiles]
                if second > burn_in_s
                else (0.0,) * 5,
                failed=failures if second >= seconds // 2 else 0,
                period_quantiles_ms=[q * rng.uniform(0.9, 1.1) for q in quantiles]
                if second > burn_in_s
                else (),
            )
        )
    usual: dict[str, Any] = {
        "model": "mobilenet_v1_100_224_cpu",
        "query_label": "RedisAI Query - mobilenet_v1_100_224 :AI.MODELRUN",
        "data_file": "vision_tensors.out",
        "data_seed": None,
        "shape": (224, 224, 3),
        "dtype": "FLOAT",
        "workers": workers,
        "threads": 1,
        "batch_size": batch_size,
        "pipeline": 1,
        "max_queries": 5000,
        "metadata_autobatching": autobatching,
        "start_unix_ms": START_UNIX_MS,
        "end_unix_ms": START_UNIX_MS + seconds * 1000,
        "duration_s": float(seconds),
        "measured_s": requests * batch_size / rate,
        "successes": requests,
        "inferences": requests * batch_size,
        "inferences_with_burn_in": requests * batch_size + round(rate * burn_in_s),
        "failures": {"error_reply": Failure(failures, "ERR <no> such & such")} if failures else {},
        "burn_in_requests": round(rate * burn_in_s / batch_size),
        "burn_in_failures": {},
        "abandoned": 0,
        "reconnects": 0,
        "all_requests": RequestCounts(0, 0, 0, 0),
        "outage_count": 0,
        "outages": (),
        "late_starts": 0,
        "limit_rps": 0.0,
        "service_latencies": None,
        "facts": {},
        "latencies": histogram,
        "saturated": 0,
        "intervals": intervals,
        "cpu_s": 0.5,
        "busiest_thread": 0.01,
        "check": ClientCheck(Verdict.SERVER_BOUND, "the client waited", 0.01, 0.5, 0.0),
        "least_worker_requests": 100,
        "most_worker_requests": 110,
        "server": {"facts": EMBEDDED},
        "arrivals": None,
        "shed": 0,
        "unsent": 0,
        "lag_exceeded": False,
        "steps": (),
        "kinds": (),
        "start_lags": LatencyHistogram.empty(),
        "timer_lags": LatencyHistogram.empty(),
        "reply_waits": LatencyHistogram.empty(),
        "interrupted": False,
    }
    return made(**(usual | changes))


def token_result(
    *,
    workers: int = 4,
    ttft_ms: float = 80.0,
    gap_ms: float = 10.0,
    length: int = 50,
    seed: int = 1,
    **changes: Any,
) -> Result:
    """A run of ours whose replies are streams of so many tokens each."""
    rng = random.Random(seed)
    firsts = [ttft_ms * rng.lognormvariate(0, 0.2) for _ in range(300)]
    means = [gap_ms * rng.lognormvariate(0, 0.05) for _ in range(300)]
    gaps = [gap_ms * rng.lognormvariate(0, 0.3) for _ in range(2000)]
    stream_ms = ttft_ms + gap_ms * (length - 1)
    rate = workers * 1000 / stream_ms
    usual: dict[str, Any] = {
        "model": "llama",
        "query_label": "OpenAI chat - llama :stream",
        "data_file": "prompts.jsonl",
        "shape": (1,),
        "dtype": "BYTES",
        "server": {"facts": ServerFacts("vLLM", "0.11", "http://gpu-1:8000")},
        "measured_s": 300 / rate,
        "successes": 300,
        "inferences": 300,
        "tokens": {
            "first_events": latencies(*(one / 20 for one in firsts)),
            "first_tokens": latencies(*firsts),
            "first_answers": latencies(*firsts),
            "token_times": latencies(*means),
            "chunk_gaps": latencies(*gaps),
            "span_s": 300 / rate,
            "output_tokens": 300 * length,
            "input_tokens": 300 * 512,
            "chunks": 300 * length,
            "events": 300 * (length + 2),
            "event_reads": 300 * (length + 1),
        },
    }
    return our_result(
        workers=workers, autobatching=-1, rate=rate, p50_ms=stream_ms, seed=seed,
        **(usual | changes),
    )  # fmt: skip
