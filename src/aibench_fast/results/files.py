"""Read result files, ours and the Go aibench's, into one small record.

Tables, comparisons, reports and exports begin here. `read_details` reads the rest, which is most of
a file and which few callers need.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from aibench_fast.errors import ConfigError, misread
from aibench_fast.results.clientside import BUSY_THREAD, Verdict
from aibench_fast.results.fieldjson import from_json, known_values, number
from aibench_fast.results.fields import declared_fields, figure
from aibench_fast.results.forms import QUANTILES
from aibench_fast.results.histogram import LatencyHistogram, is_known
from aibench_fast.results.notation import connection_words, fact_text, window_words
from aibench_fast.results.parts import Part, read_parts
from aibench_fast.results.result import WHOLE_PERIOD, Result, ServerFacts
from aibench_fast.results.search import Search
from aibench_fast.results.serverperiods import OVERALL, ServerUse, last_value, server_use
from aibench_fast.results.streamnames import stream_columns
from aibench_fast.tensortype import describe

NEWEST_MAJOR_VERSION = 1
NS_PER_MS = 1_000_000
MS_PER_S = 1000
OURS = "aibench-fast"
GO_AIBENCH = "aibench"
CLOSED_LOOP = "closed loop"
"""Arrivals without a schedule. Both latencies are the same, unless a request had to connect."""
GO_VERSION = "0"
"""Stands for the Go tool's version, which it leaves empty."""

REDISAI_KINDS = ("RedisAI", "aibench-fast embedded server")
"""Servers whose models may have a BATCHSIZE. The Go tool, which names no server, uses no other."""

_SETUP_FACTS = (
    "Host", "CpuModel", "Cores", "Governor", "Kernel", "ServerConfig", "ModelDigest", "DataDigest",
    "Package", "Encoding", "Inputs", "Tls", "Clients",
)  # fmt: skip


class Cell(NamedTuple):
    """The settings that a sweep varies. Runs of one cell are repeats."""

    workers: int
    autobatching: int
    """The model's batch size on the server; -1 if it is unknown."""
    batch_size: int
    """Images a request; 0 if the kinds of a mix differ."""
    max_rps: float
    """The limit in requests a second; 0 for none."""
    server_name: str = ""
    """The name of the server, of several that are compared."""
    streams: bool = False
    """Whether replies are streams of tokens, so that batches are none of its settings."""
    lengths: str = ""
    """The lengths of drawn prompts and of answers that were asked for, in words."""

    @property
    def variant(self) -> str:
        """Return the cell without its workers, in words."""
        batch = f"tensor batch {self.batch_size or 'of a mix'}"
        words = f"tokens {self.lengths}".rstrip() if self.streams else batch
        words = f"auto-batching {self.autobatching}, {words}" if self.autobatching >= 0 else words
        words = f"{self.server_name}, {words}" if self.server_name else words
        return f"{words}, {self.max_rps:g} requests/s" if self.max_rps else words

    @property
    def values(self) -> dict[str, Any]:
        """Return the settings by name; those that tensors have alone are None of streams of tokens,
        and `streams` and `lengths` are among them only if they are set.
        """
        values = self._asdict()
        if self.streams:
            values |= {"autobatching": None, "batch_size": None}
        own = ("streams", "lengths")
        return {name: one for name, one in values.items() if one or name not in own}

    def __str__(self) -> str:
        """Return the whole cell in words."""
        return f"{self.workers} worker{'' if self.workers == 1 else 's'}, {self.variant}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """One result file. Latencies are milliseconds; None or empty: the file does not contain it.

    Fields with a key are the value of that key.
    """

    path: Path
    client: str
    """OURS or GO_AIBENCH."""
    cell: Cell
    inferences_per_s: float
    quantiles_ms: Mapping[str, float]
    """By the JSON's names: q0, q50, q95, q99, q999, q100, as far as known. q50 always is."""
    latency: str = figure("Latency")
    """`service`, from the actual start of a request, or `response`, from the intended one."""
    start_unix_ms: int | None
    duration_s: float | None
    """Burn-in included."""
    measured_s: float | None = figure("MeasuredSeconds")
    """The time that the rate is of."""
    model: str | None = figure("Model")
    query_label: str | None = figure("Query")
    data_file: str | None = figure("DataFile")
    data_seed: int | None = figure("DataSeed")
    """The seed of generated tensors."""
    tensor: str
    """One tensor in words, such as `224 x 224 x 3 FLOAT`."""
    threads: int | None = figure("Threads")
    pipeline: int = figure("Pipeline")
    """Requests outstanding on each connection."""
    servers: int
    """How many servers the run loaded at once."""
    server: ServerFacts | None
    server_use: ServerUse
    inferences_per_s_with_burn_in: float | None
    """Over the time that `server_use` is of."""
    facts: Mapping[str, Any]
    """Host, CpuModel, ModelDigest, CommandLine and so on."""
    requests: int | None = figure("Requests")
    """Measured requests."""
    successes: int | None
    arrivals: str | None
    """How requests were due, apart from the rate, in words."""
    not_sent: int
    """Due requests that were shed, or found no free worker before the end."""
    late_starts: int = figure("LateStarts")
    """Requests that started late because no worker was free."""
    connections: str | None
    """Why connections were made in the run, and how long that took, in words."""
    window_waits: str | None
    """How long requests waited for the server's flow-control windows, in words."""
    failures: Mapping[str, tuple[int, str]]
    """Failures by kind, warm-up included: how many, and the first message."""
    warnings: Sequence[str]
    """Reasons to doubt the figures."""
    interrupted: bool
    verdict: str | None
    """Whether client or server set the figures, and why, as the run itself judged."""
    stream: Mapping[str, Any] | None = figure("Stream")
    """The figures of streams of tokens, as `StreamFigures` declares them; None of other replies."""
    encoded_latencies: str | None = field(repr=False)
    """The histogram as the file has it."""

    def latencies(self) -> LatencyHistogram:
        """Return the measured latencies, empty if the file has none; ConfigError if unreadable."""
        if self.encoded_latencies is None:
            return LatencyHistogram.empty()
        return LatencyHistogram.decode(self.encoded_latencies)

    @property
    def lacks_autobatching(self) -> bool:
        """Whether the file lacks the BATCHSIZE of the model, which may have one, as in RedisAI."""
        is_redisai = self.server is None or self.server.kind in REDISAI_KINDS
        return self.cell.autobatching < 0 and is_redisai

    @property
    def is_doubtful(self) -> bool:
        """Whether the client may have set the figures."""
        return self.verdict is not None and not self.verdict.startswith(Verdict.SERVER_BOUND)

    @property
    def failed(self) -> int:
        """How many requests failed."""
        return sum(count for count, _ in self.failures.values())

    @property
    def cpu_ms_an_inference(self) -> float | None:
        """The server's CPU time for an inference; None if unknown."""
        cores, rate = self.server_use.cores, self.inferences_per_s_with_burn_in
        return cores / rate * MS_PER_S if cores is not None and rate else None

    def quantile_ms(self, name: str) -> float | None:
        """Return a quantile; None if the file lacks it or has too few requests for it."""
        if self.successes is not None and not is_known(QUANTILES.get(name, 0.0), self.successes):
            return None
        return self.quantiles_ms.get(name)

    def row(self) -> dict[str, Any]:
        """Return the run as a row of a table."""
        return {
            "file": self.path.name,
            "client": self.client,
            **self.cell.values,
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
            **stream_columns(self.stream or {}),
        }

    @property
    def setup(self) -> dict[str, str | None]:
        """Facts that have to be equal for runs to be comparable; None if unknown."""
        known: dict[str, object] = {
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
            "shared memory": self.facts.get("SharedMemory", "none"),
            "tokens from": (self.stream or {}).get("TokensFrom", "none"),
            **{name: self.facts.get(name) for name in _SETUP_FACTS},
        }
        if self.facts.get("StringsAre") == "prompts" and self.data_file is None:
            del known["DataDigest"]  # each run of a study draws others
        return {name: None if value is None else fact_text(value) for name, value in known.items()}


@dataclass(frozen=True)
class TimelinePoint:
    """One reporting period of a run."""

    unix_ms: int
    rate: float
    """Images a second in this period."""
    measured: bool
    """False during the burn-in."""
    failed: int
    """Requests that failed in this period; 0 if unknown."""
    quantiles_ms: Mapping[str, float]
    """q50, q90, q95, q99, q99999 of the latencies measured in the period; empty without any. Before
    format 1.1 of all latencies measured up to the period's end.
    """
    is_partial: bool = False
    """Whether there was load in only a part of it, so that its rate is not the load's."""
    tokens_per_s: float | None = None
    """Output tokens a second in this period; None of other replies."""


@dataclass(frozen=True)
class RunDetails:
    """The parts of a result file that few callers need."""

    timeline: Sequence[TimelinePoint]
    server_stats: Mapping[str, Any]
    """By reporting period; see `serverperiods`."""
    raw_server_stats: Mapping[str, Any]
    """INFO's fields as text, by time and server."""
    parts: Sequence[Part] = ()

    def server_value(self, name: str) -> str | None:
        """Return the last value of a field of INFO, or of a statistic of ours; None without any."""
        value = last_value(self.raw_server_stats, name)
        return last_value(self.server_stats, name) if value is None else value


class SummaryOfResults(ConfigError):
    """A file summarises several results and is not a result itself."""

    def __init__(self, message: str, search: Search | None = None) -> None:
        """Keep the search, if the file is one."""
        super().__init__(message)
        self.search = search


def read_record(path: Path) -> RunRecord:
    """Read one result file; ConfigError if it is not one."""
    document = _document(path)
    with _checking():
        return _record(path, document)


def record_of(result: Result) -> RunRecord:
    """Return the record of a result that is in no file; ConfigError where it measured nothing."""
    return _record(Path(), result.to_json())


def read_details(path: Path) -> RunDetails:
    """Read what `read_record` leaves out; ConfigError if that is not possible."""
    document = _document(path)
    with _checking():
        values = known_values(Result, document)
        readings = values["ServerRunTimeStats"] or {}
        return RunDetails(
            timeline=_timeline(values),
            server_stats=values["ServerPeriods"] or readings,
            # Before format 1.3 the key had our own statistics.
            raw_server_stats={} if OVERALL in readings else readings,
            parts=read_parts(document),
        )


def _record(path: Path, document: Mapping[str, Any]) -> RunRecord:
    if "Search" in document:
        search = Search.from_json(document)
        raise SummaryOfResults("a search: name the results of its steps", search)
    if "Repeats" in document:
        raise SummaryOfResults("a summary of repeated runs: name the runs' own results")
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
    known_ms = {
        name: number(quantiles, name) for name in quantiles if _is_known_ms(quantiles[name])
    }
    if "q50" not in quantiles:
        raise ConfigError("not a result: q50 is missing")
    if rate <= 0 or "q50" not in known_ms:
        raise ConfigError("it measured nothing: no request succeeded after the warm-up")
    client = OURS if int(major) >= 1 else GO_AIBENCH
    server, duration_ms = values["Server"], values["DurationMillis"]
    rates = values["OverallRatesIncludingWarmup"]  # aibench has it from 2020-12-04 on
    successes = [one for one in (values["Successes"], values["Requests"]) if one is not None]
    start = values["StartTime"]
    start_unit_ms = 1000 if client == GO_AIBENCH else 1  # the Go tool's are whole seconds
    return RunRecord(
        **{name: values[one.key] for name, one in declared_fields(RunRecord).items()},
        path=path,
        client=client,
        cell=Cell(
            workers=int(number(document, "Workers")),
            autobatching=int(number(document, "MetadataAutobatching")),
            batch_size=int(number(document, "TensorBatchSize")),
            max_rps=values["MaxRps"] or 0,
            server_name=values["ServerName"] or "",
            streams=values["Stream"] is not None,
            lengths=_lengths(document.get("Facts") or {}),
        ),
        inferences_per_s=rate,
        quantiles_ms=known_ms,
        start_unix_ms=None if start is None else int(start) * start_unit_ms,
        duration_s=duration_ms / 1000 if duration_ms else None,
        tensor=_tensor(values),
        servers=len(values["Servers"] or ()) or 1,
        server=server and from_json(ServerFacts, server),
        server_use=server_use((values["ServerPeriods"] or {}).get(OVERALL, {})),
        inferences_per_s_with_burn_in=number(rates, "overallOpsRate") if rates else None,
        facts=values["Facts"] or {},
        successes=min(successes, default=None),
        arrivals=_arrivals(document),
        not_sent=values["Shed"] + values["Unsent"],
        connections=connection_words(
            values["Reconnects"],
            values["RemadeConnections"],
            values["ConnectTime"],
            values["ConnectShare"],
        ),
        window_waits=window_words(values["WindowWait"], values["WindowShare"]),
        failures=_failures(values),
        warnings=[str(one["Message"]) for one in values["Warnings"] or ()],
        interrupted=bool(values["Interrupted"]),
        verdict=_verdict(values),
        encoded_latencies=str(encoded) if encoded else None,
    )


def _is_known_ms(quantile: Any) -> bool:
    """Whether it is known: null is not, nor is 0, of aibench and of ours before format 1.9."""
    return quantile not in (None, 0)


def _tensor(values: Mapping[str, Any]) -> str:
    """Return the tensors of a request in words; of a mix those of each kind."""
    if not values["Shape"]:
        return "; ".join(str(kind["Tensors"]) for kind in values["Kinds"])
    return describe(values["Shape"], values["Dtype"])


def _arrivals(document: Mapping[str, Any]) -> str | None:
    if "Arrivals" not in document:  # the Go tool's, and ours before format 1.4
        return None
    arrivals = document["Arrivals"]
    if arrivals is None:
        return CLOSED_LOOP
    words = [str(arrivals["Kind"])]
    words += [str(arrivals[name]) for name in ("Profile", "File") if arrivals.get(name)]
    if (arrivals.get("Speed") or 1) != 1:
        words.append(f"--speed {arrivals['Speed']:g}")
    if arrivals.get("MaxLagSeconds"):
        words.append(f"--max-lag {arrivals['MaxLagSeconds']:g}s --on-lag {arrivals['OnLag']}")
    return ", ".join(words)


def _verdict(values: Mapping[str, Any]) -> str | None:
    check = values["ClientCheck"]
    if check:
        return f"{check['Verdict']}: {check['Reason']}"
    busiest = values["ClientBusiestThread"] or 0.0  # before format 1.4 there was no more
    if busiest > BUSY_THREAD:
        return f"{Verdict.CLIENT_BOUND}: an I/O thread was on a CPU {busiest:.0%} of the time"
    return None


def _document(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # neither JSON nor UTF-8, or without an end
        empty = path.stat().st_size == 0
        raise ConfigError("it is empty" if empty else f"not complete JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError("not a result: a JSON object is expected")
    return document


@contextmanager
def _checking() -> Iterator[None]:
    """Turn the errors of a document that is not a result into a ConfigError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ConfigError(f"not a result: {misread(error)}") from error


def _mapping(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name)
    if not isinstance(value, dict):
        raise ConfigError(f"not a result: {name} is missing")
    return value


def _lengths(facts: Mapping[str, Any]) -> str:
    """Return the lengths of prompts and of answers that were asked for, in words."""
    named = {"PromptTokens": "in", "MaxTokens": "out"}
    return " and ".join(f"{facts[name]} {word}" for name, word in named.items() if name in facts)


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
        if name.startswith("q") and _is_known_ms(value)
    }


def _go_period(key: str, period: Mapping[str, Any]) -> TimelinePoint:
    """Return a period of the Go tool: its figures are of it alone, and 0 during the warm-up."""
    quantiles = {name: ms for name, ms in (period.get("Quantiles") or {}).items() if ms > 0}
    return TimelinePoint(
        unix_ms=int(key) // NS_PER_MS,
        rate=number(period, "InferenceRate"),
        measured=bool(quantiles),
        failed=0,
        quantiles_ms=quantiles,
    )


def _timeline(values: Mapping[str, Any]) -> list[TimelinePoint]:
    """Return the reporting periods; tokens of streams are of chunks, as they came."""
    periods: Mapping[str, Mapping[str, Any]] = values["ClientRunTimeStats"] or {}
    stream = values["Stream"]
    points = []
    failed_before, chunks_before, before_ms = 0, 0, values["StartTime"]
    for key, period in periods.items():
        if "InferenceRate" in period:
            points.append(_go_period(key, period))
            continue
        unix_ms, failed = int(key), int(period.get("failed", failed_before))
        tokens_per_s = None
        if stream:
            chunks, length_s = int(period["chunks"]), (unix_ms - before_ms) / MS_PER_S
            if length_s > 0:
                tokens_per_s = (chunks - chunks_before) * stream["TokensPerChunk"] / length_s
            chunks_before = chunks
        measured = period["overallRate"] > 0
        points.append(
            TimelinePoint(
                unix_ms=unix_ms,
                rate=number(period, "instantaneousRate"),
                measured=measured,
                failed=failed - failed_before,
                quantiles_ms=_period_quantiles(period) if measured else {},
                is_partial=bool(period.get("partial")),
                tokens_per_s=tokens_per_s,
            )
        )
        failed_before, before_ms = failed, unix_ms
    if not any("partial" in period for period in periods.values()):
        return _with_short_end(points)
    return points


def _with_short_end(points: list[TimelinePoint]) -> list[TimelinePoint]:
    """Mark the last period of an older file as partial if it is shorter than the others."""
    lengths = [later.unix_ms - one.unix_ms for one, later in pairwise(points)]
    if len(lengths) < 2 or lengths[-1] >= WHOLE_PERIOD * median(lengths[:-1]):
        return points
    return [*points[:-1], dataclasses.replace(points[-1], is_partial=True)]
