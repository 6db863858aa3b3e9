"""Result files that a run left, ours and the Go aibench's, read into one small record.

Tables, comparisons, reports and exports all begin here. What a record leaves out, because only few
readers need it and it is most of a file, `read_details` reads on demand.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from aibench_fast.errors import ConfigError, misread
from aibench_fast.results.clientside import BUSY_THREAD, Verdict
from aibench_fast.results.connections import connections_told
from aibench_fast.results.fieldjson import from_json, known_values, number
from aibench_fast.results.forms import QUANTILES
from aibench_fast.results.histogram import LatencyHistogram, is_known
from aibench_fast.results.notation import fact_text
from aibench_fast.results.parts import Part, read_parts
from aibench_fast.results.result import WHOLE_PERIOD, Result, ServerFacts
from aibench_fast.results.search import Search
from aibench_fast.results.serverperiods import OVERALL, ServerUse, last_value, server_use
from aibench_fast.tensortype import describe

NEWEST_MAJOR_VERSION = 1
NS_PER_MS = 1_000_000
MS_PER_S = 1000
OURS = "aibench-fast"
GO_AIBENCH = "aibench"
CLOSED_LOOP = "closed loop"
"""Its arrivals in words. Both latencies are the same, but of requests that had to connect."""
GO_VERSION = "0"
"""What the Go tool leaves empty."""

REDISAI_KINDS = ("RedisAI", "aibench-fast embedded server")
"""Servers whose models may have a BATCHSIZE; the Go tool, which names no server, asks no other."""

_SETUP_FACTS = (
    "Host", "CpuModel", "Cores", "Governor", "Kernel", "ServerConfig", "ModelDigest", "DataDigest",
    "Package", "Encoding", "Inputs", "Tls", "Clients",
)  # fmt: skip


class Cell(NamedTuple):
    """A place in a sweep: the settings that are varied. Runs of one cell are repetitions."""

    workers: int
    autobatching: int
    """The model's batch size on the server; -1 where the run was not told it."""
    batch_size: int
    """Images a request; 0 where the kinds of a mix differ."""
    max_rps: float
    """Requests a second that the run was limited to; 0 for none."""
    server_name: str = ""
    """What the server was called, where several are compared."""

    @property
    def variant(self) -> str:
        """All of the cell but the workers, in words; of auto-batching what was told."""
        words = f"tensor batch {self.batch_size or 'of a mix'}"
        words = f"auto-batching {self.autobatching}, {words}" if self.autobatching >= 0 else words
        words = f"{self.server_name}, {words}" if self.server_name else words
        return f"{words}, {self.max_rps:g} requests/s" if self.max_rps else words

    def __str__(self) -> str:
        """Return the whole cell in words."""
        return f"{self.workers} worker{'' if self.workers == 1 else 's'}, {self.variant}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """One result file. Latencies are milliseconds; what the file does not tell is None or empty."""

    path: Path
    client: str
    """OURS or GO_AIBENCH."""
    cell: Cell
    inferences_per_s: float
    quantiles_ms: Mapping[str, float]
    """By the JSON's names: q0, q50, q95, q99, q999, q100, as far as they are known; q50 is."""
    latency: str
    """`service`, from the actual start of a request, or `response`, from the intended one."""
    start_unix_ms: int | None
    duration_s: float | None
    """Burn-in included."""
    model: str | None
    query_label: str | None
    data_file: str | None
    data_seed: int | None
    """What the tensors were drawn from, where they were generated."""
    tensor: str
    """One tensor in words, such as `224 x 224 x 3 FLOAT`."""
    threads: int | None
    pipeline: int
    """Requests outstanding on each connection."""
    servers: int
    """How many the run loaded at once."""
    server: ServerFacts | None
    server_use: ServerUse
    inferences_per_s_with_burn_in: float | None
    """What the server did in the time that its use is of."""
    facts: Mapping[str, Any]
    """Host, CpuModel, ModelDigest, CommandLine and so on."""
    requests: int | None
    """Measured ones."""
    successes: int | None
    arrivals: str | None
    """How requests were due but for the rate, in words; None where the file does not tell."""
    not_sent: int
    """Requests that were due and were shed, or found no worker before the end."""
    late_starts: int
    """Requests that started late by the schedule, because no worker was free."""
    connections: str | None
    """What connections were made for in the run, and what that took, in words; None for nothing."""
    failures: Mapping[str, tuple[int, str]]
    """Measured and burn-in failures by kind: how many, and the first one's message."""
    warnings: Sequence[str]
    """What made the figures doubtful, in words."""
    interrupted: bool
    verdict: str | None
    """Whose the figures are and why, in words, as the run itself judged; None where it did not."""
    encoded_latencies: str | None = field(repr=False)
    """The histogram as the file has it; None where it has none."""

    def latencies(self) -> LatencyHistogram:
        """The measured latencies, empty where the file has none; ConfigError if unreadable."""
        if self.encoded_latencies is None:
            return LatencyHistogram.empty()
        return LatencyHistogram.decode(self.encoded_latencies)

    @property
    def lacks_autobatching(self) -> bool:
        """Whether the model may have a BATCHSIZE that the file does not tell, as RedisAI's have."""
        is_redisai = self.server is None or self.server.kind in REDISAI_KINDS
        return self.cell.autobatching < 0 and is_redisai

    @property
    def is_doubtful(self) -> bool:
        """Whether the figures may be the client's own."""
        return self.verdict is not None and not self.verdict.startswith(Verdict.SERVER_BOUND)

    @property
    def failed(self) -> int:
        """How many requests failed."""
        return sum(count for count, _ in self.failures.values())

    @property
    def cpu_ms_an_inference(self) -> float | None:
        """The server's CPU time; None where it is not known."""
        cores, rate = self.server_use.cores, self.inferences_per_s_with_burn_in
        return cores / rate * MS_PER_S if cores is not None and rate else None

    def quantile_ms(self, name: str) -> float | None:
        """A quantile; None where the file lacks it, or where it is of too few requests."""
        if self.successes is not None and not is_known(QUANTILES.get(name, 0.0), self.successes):
            return None
        return self.quantiles_ms.get(name)

    def row(self) -> dict[str, Any]:
        """The run as a row of a table; None where the file does not tell."""
        return {
            "file": self.path.name,
            "client": self.client,
            **self.cell._asdict(),
            "inferences_per_s": self.inferences_per_s,
            **{f"{name}_ms": self.quantile_ms(name) for name in QUANTILES},
            "requests": self.requests,
            "failed": self.failed,
            "interrupted": self.interrupted,
            "start_unix_ms": self.start_unix_ms,
            "duration_s": self.duration_s,
            "model": self.model,
            "server": self.server and self.server.kind,
            "server_version": self.server and self.server.version,
            "server_cores": self.server_use.cores,
            "server_memory_bytes": self.server_use.memory_bytes,
        }

    @property
    def setup(self) -> dict[str, str | None]:
        """What has to be equal for two runs' figures to be comparable; None where not told."""
        told: dict[str, object] = {
            "client": self.client,
            "server": self.server and self.server.kind,
            "server version": self.server and self.server.version,
            "model": self.model,
            "request": self.query_label,
            "tensor": self.tensor,
            "client threads": self.threads,
            "pipeline": self.pipeline,
            "servers": self.servers,
            "latency": None if self.arrivals == CLOSED_LOOP else self.latency,
            "arrivals": self.arrivals,
            **{name: self.facts.get(name) for name in _SETUP_FACTS},
        }
        return {name: None if value is None else fact_text(value) for name, value in told.items()}


@dataclass(frozen=True)
class TimelinePoint:
    """One reporting period of a run."""

    unix_ms: int
    rate: float
    """Images a second in this period."""
    measured: bool
    """False during the burn-in."""
    failed: int
    """Requests that failed in this period; 0 where the file does not tell."""
    quantiles_ms: Mapping[str, float]
    """Of the latencies measured in the period, q50, q90, q95, q99, q99999; empty where none were.

    Of a result older than format 1.1 of all those measured up to the period's end.
    """
    is_partial: bool = False
    """Whether only a part of it had load, as of the last one: its rate is not the load's."""


@dataclass(frozen=True)
class RunDetails:
    """What is most of a result file."""

    timeline: Sequence[TimelinePoint]
    server_stats: Mapping[str, Any]
    """By reporting period; see `serverperiods`."""
    raw_server_stats: Mapping[str, Any]
    """INFO's fields as text, by time and server; empty where the file has none."""
    parts: Sequence[Part] = ()

    def server_value(self, name: str) -> str | None:
        """A statistic's last value: a field of INFO, or one of ours; None where there is none."""
        value = last_value(self.raw_server_stats, name)
        return last_value(self.server_stats, name) if value is None else value


class SummaryOfResults(ConfigError):
    """A file says what several results come to, and is none itself."""


class SearchOfResults(SummaryOfResults):
    """The same of a search."""

    def __init__(self, search: Search) -> None:
        """Say what the file is; `search` is what it holds."""
        super().__init__("it is a search: name the results of its steps")
        self.search = search


def read_record(path: Path) -> RunRecord:
    """Read one result file; ConfigError with the reason where it is none."""
    document = _document(path)
    with _as_no_result():
        return _record(path, document)


def record_of(result: Result) -> RunRecord:
    """Return the record of a result that is in no file; ConfigError where it measured nothing."""
    return _record(Path(), result.to_json())


def read_details(path: Path) -> RunDetails:
    """Read what `read_record` leaves out; ConfigError with the reason where it cannot be read."""
    document = _document(path)
    with _as_no_result():
        values = known_values(Result, document)
        told = values["ServerRunTimeStats"] or {}
        return RunDetails(
            timeline=_timeline(values["ClientRunTimeStats"] or {}),
            server_stats=values["ServerPeriods"] or told,
            # Before format 1.3 ours stood there.
            raw_server_stats={} if OVERALL in told else told,
            parts=read_parts(document),
        )


def by_cell(records: Iterable[RunRecord]) -> dict[Cell, list[RunRecord]]:
    """The runs of each cell, cells in order."""
    cells: dict[Cell, list[RunRecord]] = {}
    for record in records:
        cells.setdefault(record.cell, []).append(record)
    return dict(sorted(cells.items()))


def mixed(records: Iterable[RunRecord]) -> dict[str, list[str]]:
    """Where runs of one cell are no repetitions of each other: what differs, and how."""
    found: dict[str, set[str]] = {}
    for runs in by_cell(records).values():
        setups = [run.setup for run in runs]
        for name in setups[0]:
            values = {value for setup in setups if (value := setup[name]) is not None}
            if len(values) > 1:
                found.setdefault(name, set()).update(values)
    return {name: sorted(values) for name, values in found.items()}


def median_run(runs: Sequence[RunRecord]) -> RunRecord:
    """The run whose rate is the median; of two in the middle the slower."""
    return sorted(runs, key=lambda run: run.inferences_per_s)[(len(runs) - 1) // 2]


def _record(path: Path, document: Mapping[str, Any]) -> RunRecord:
    if "Search" in document:
        raise SearchOfResults(Search.from_json(document))
    if "Repeats" in document:
        raise SummaryOfResults("it is what repeated runs come to: name their own results")
    version = str(document.get("ResultFormatVersion") or GO_VERSION)
    major = version.partition(".")[0]
    if not major.isdecimal() or int(major) > NEWEST_MAJOR_VERSION:
        raise ConfigError(
            f"result format {version}, this program reads up to {NEWEST_MAJOR_VERSION}.x: update it"
        )
    values = known_values(Result, document)
    latencies = _mapping(document, "OverallQuantiles")
    quantiles = _mapping(latencies, "AllQueries")
    encoded = latencies.get("EncodedHistogram")
    rate = number(_mapping(document, "OverallRates"), "overallOpsRate")
    known_ms = {name: number(quantiles, name) for name in quantiles if _is_told(quantiles[name])}
    if "q50" not in quantiles:
        raise ConfigError("it is no result: q50 is missing")
    if rate <= 0 or "q50" not in known_ms:
        raise ConfigError("it measured nothing: no request was answered after the burn-in")
    client = OURS if int(major) >= 1 else GO_AIBENCH
    server, duration_ms = values["Server"], values["DurationMillis"]
    return RunRecord(
        path=path,
        client=client,
        cell=Cell(
            workers=int(number(document, "Workers")),
            autobatching=int(number(document, "MetadataAutobatching")),
            batch_size=int(number(document, "TensorBatchSize")),
            max_rps=values["MaxRps"] or 0,
            server_name=values["ServerName"] or "",
        ),
        inferences_per_s=rate,
        quantiles_ms=known_ms,
        latency=values["Latency"],
        start_unix_ms=_start_unix_ms(values["StartTime"], client),
        duration_s=duration_ms / 1000 if duration_ms else None,
        model=values["Model"],
        query_label=values["Query"],
        data_file=values["DataFile"],
        data_seed=values["DataSeed"],
        tensor=_tensor(values),
        threads=values["Threads"],
        pipeline=values["Pipeline"],
        servers=len(values["Servers"] or ()) or 1,
        server=server and from_json(ServerFacts, server),
        server_use=server_use((values["ServerPeriods"] or {}).get(OVERALL, {})),
        inferences_per_s_with_burn_in=_rate_with_burn_in(values),
        facts=values["Facts"] or {},
        requests=values["Requests"],
        successes=_successes(values),
        arrivals=_arrivals(document),
        not_sent=values["Shed"] + values["Unsent"],
        late_starts=values["LateStarts"],
        connections=connections_told(
            values["Reconnects"],
            values["RemadeConnections"],
            values["ConnectTime"],
            values["ConnectShare"],
        ),
        failures=_failures(values),
        warnings=[str(one["Message"]) for one in values["Warnings"] or ()],
        interrupted=bool(values["Interrupted"]),
        verdict=_verdict(values),
        encoded_latencies=str(encoded) if encoded else None,
    )


def _rate_with_burn_in(values: Mapping[str, Any]) -> float | None:
    """None where it is missing: aibench has it from 2020-12-04 on."""
    told = values["OverallRatesIncludingWarmup"]
    return number(told, "overallOpsRate") if told else None


def _is_told(quantile: Any) -> bool:
    """Whether it is known: null is not, nor is the 0 of aibench and of ours before format 1.9."""
    return quantile not in (None, 0)


def _successes(values: Mapping[str, Any]) -> int | None:
    told = [values[name] for name in ("Successes", "Requests") if values[name] is not None]
    return min(told, default=None)


def _tensor(values: Mapping[str, Any]) -> str:
    """What a request sends, in words; of a mix what each kind does."""
    if not values["Shape"]:
        return "; ".join(str(kind["Tensors"]) for kind in values["Kinds"])
    return describe(values["Shape"], values["Dtype"])


def _arrivals(document: Mapping[str, Any]) -> str | None:
    if "Arrivals" not in document:  # the Go tool's, and ours before format 1.4
        return None
    told = document["Arrivals"]
    if told is None:
        return CLOSED_LOOP
    words = [str(told["Kind"])]
    words += [str(told[name]) for name in ("Profile", "File") if told.get(name)]
    if told.get("MaxLagSeconds"):
        words.append(f"--max-lag {told['MaxLagSeconds']:g}s --on-lag {told['OnLag']}")
    return ", ".join(words)


def _verdict(values: Mapping[str, Any]) -> str | None:
    told = values["ClientCheck"]
    if told:
        return f"{told['Verdict']}: {told['Reason']}"
    busiest = values["ClientBusiestThread"] or 0.0  # all that was told before format 1.4
    if busiest > BUSY_THREAD:
        return f"{Verdict.CLIENT_BOUND}: an I/O thread was on a CPU {busiest:.0%} of the time"
    return None


def _start_unix_ms(start: float | None, client: str) -> int | None:
    if start is None:
        return None
    return int(start) * (1000 if client == GO_AIBENCH else 1)  # the Go tool's are whole seconds


def _document(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # neither JSON nor UTF-8, or without an end
        empty = path.stat().st_size == 0
        raise ConfigError("it is empty" if empty else f"it is no whole JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError("it is no result: a JSON object is expected")
    return document


@contextmanager
def _as_no_result() -> Iterator[None]:
    """What a result's keys hold is told as a ConfigError where it is not what they should."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ConfigError(f"it is no result: {misread(error)}") from error


def _mapping(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name)
    if not isinstance(value, dict):
        raise ConfigError(f"it is no result: {name} is missing")
    return value


def _failures(values: Mapping[str, Any]) -> dict[str, tuple[int, str]]:
    merged: dict[str, tuple[int, str]] = {}
    for section in ("Failures", "BurnInFailures"):
        for kind, failure in (values[section] or {}).items():
            count, first = merged.get(kind, (0, str(failure["FirstMessage"])))
            merged[kind] = (count + int(number(failure, "Count")), first)
    return merged


def _period_quantiles(period: Mapping[str, Any]) -> Mapping[str, float]:
    quantiles = period.get("period", period)
    return {
        name: number(quantiles, name)
        for name, value in quantiles.items()
        if name.startswith("q") and _is_told(value)
    }


def _go_period(key: str, period: Mapping[str, Any]) -> TimelinePoint:
    """A period of the Go tool, whose figures are of it alone, and zeros during the burn-in."""
    quantiles = {name: ms for name, ms in (period.get("Quantiles") or {}).items() if ms > 0}
    return TimelinePoint(
        unix_ms=int(key) // NS_PER_MS,
        rate=number(period, "InferenceRate"),
        measured=bool(quantiles),
        failed=0,
        quantiles_ms=quantiles,
    )


def _timeline(periods: Mapping[str, Mapping[str, Any]]) -> list[TimelinePoint]:
    points = []
    failed_before = 0
    for key, period in periods.items():
        if "InferenceRate" in period:
            points.append(_go_period(key, period))
            continue
        failed = int(period.get("failed", failed_before))
        points.append(
            TimelinePoint(
                unix_ms=int(key),
                rate=number(period, "instantaneousRate"),
                measured=period["overallRate"] > 0,
                failed=failed - failed_before,
                quantiles_ms=_period_quantiles(period) if period["overallRate"] > 0 else {},
                is_partial=bool(period.get("partial")),
            )
        )
        failed_before = failed
    if not any("partial" in period for period in periods.values()):
        return _with_short_end(points)
    return points


def _with_short_end(points: list[TimelinePoint]) -> list[TimelinePoint]:
    """Those of a file that does not say which are partial: the last, where it is shorter."""
    lengths = [later.unix_ms - one.unix_ms for one, later in pairwise(points)]
    if len(lengths) < 2 or lengths[-1] >= WHOLE_PERIOD * median(lengths[:-1]):
        return points
    return [*points[:-1], dataclasses.replace(points[-1], is_partial=True)]
