"""Read result files of any version, ours and the Go aibench's: tables, comparisons, reports and
exports begin here.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aibench_fast.errors import ConfigError, misread
from aibench_fast.files import reading
from aibench_fast.results.clientside import BUSY_THREAD, Verdict
from aibench_fast.results.fieldjson import check_types, from_json, known_values, number, shown
from aibench_fast.results.fields import declared_fields
from aibench_fast.results.groups import ServerFacts
from aibench_fast.results.notation import connection_words
from aibench_fast.results.record import CLOSED_LOOP, GO_AIBENCH, OURS, Cell, RunRecord
from aibench_fast.results.result import Result
from aibench_fast.results.search import Search
from aibench_fast.results.serverperiods import LATEST_MS, OVERALL, server_use
from aibench_fast.results.stream import StreamFigures
from aibench_fast.tensortype import describe

NEWEST_MAJOR_VERSION = 1
MS_PER_S = 1000


@dataclass(frozen=True)
class ReadFile:
    """A file that was read: a result, or the reason why it is not one."""

    record: RunRecord | None = None
    reason: str = ""
    is_summary: bool = False
    """Whether it summarises several results."""
    search: Search | None = None
    """The search, if it is one."""


def read_file(path: Path) -> ReadFile:
    """Read one file."""
    try:
        with opened(path) as document:
            if "Search" in document:
                reason = "a search: name the results of its steps"
                return ReadFile(None, reason, is_summary=True, search=Search.from_json(document))
            if "Repeats" in document:
                reason = "a summary of repeated runs: name the runs' own results"
                return ReadFile(None, reason, is_summary=True)
            return ReadFile(_record(path, document))
    except ConfigError as error:
        return ReadFile(None, str(error))


def read_record(path: Path) -> RunRecord:
    """Read one result file; ConfigError if it is not one."""
    read = read_file(path)
    if read.record is None:
        raise ConfigError(read.reason)
    return read.record


def record_of(result: Result) -> RunRecord:
    """Return the record of a result that is in no file; ConfigError where it measured nothing."""
    return _record(Path(), result.to_json())


def _record(path: Path, document: Mapping[str, Any]) -> RunRecord:
    version = str(document.get("ResultFormatVersion") or 0)  # the Go tool leaves it empty
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
    if "q50" not in quantiles:
        raise ConfigError("not a result: q50 is missing")
    known = known_ms(quantiles)
    if rate <= 0 or "q50" not in known:
        raise ConfigError("it measured nothing: no request succeeded after the warm-up")
    client = OURS if int(major) >= 1 else GO_AIBENCH
    server, duration_ms = values["Server"], values["DurationMillis"]
    rates = values["OverallRatesIncludingWarmup"]  # aibench has it from 2020-12-04 on
    successes = [one for one in (values["Successes"], values["Requests"]) if one is not None]
    start = values["StartTime"]
    start_unit_ms = MS_PER_S if client == GO_AIBENCH else 1  # the Go tool's are whole seconds
    start_unix_ms = None if start is None else int(start) * start_unit_ms
    for name, ms in (("StartTime", start_unix_ms), ("DurationMillis", duration_ms)):
        if abs(ms or 0) > LATEST_MS:
            raise ConfigError(f"not a result: {name} is {shown(values[name])}")
    check_types(StreamFigures, values["Stream"] or {})
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
        quantiles_ms=known,
        start_unix_ms=start_unix_ms,
        duration_s=duration_ms / MS_PER_S if duration_ms else None,
        tensor=_tensor(values),
        servers=len(values["Servers"] or ()) or 1,
        server=None if server is None else from_json(ServerFacts, server),
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
        failures=_failures(values),
        warnings=[str(one["Message"]) for one in values["Warnings"] or ()],
        interrupted=bool(values["Interrupted"]),
        verdict=_verdict(values),
        encoded_latencies=str(encoded) if encoded else None,
    )


def known_ms(quantiles: Mapping[str, Any]) -> dict[str, float]:
    """Return those that are known: null is not, nor is 0, of aibench and ours before format 1.9."""
    return {
        name: number(quantiles, name)
        for name, value in quantiles.items()
        if name.startswith("q") and value not in (None, 0)
    }


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


@contextmanager
def opened(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON object of a file; ConfigError if it has none, or the block cannot read it."""
    try:
        yield _document(path)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ConfigError(f"not a result: {misread(error)}") from error


def _document(path: Path) -> Mapping[str, Any]:
    try:
        with reading("cannot be read"):
            document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # neither JSON nor UTF-8, or without an end
        empty = path.stat().st_size == 0
        raise ConfigError("it is empty" if empty else f"not complete JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError("not a result: a JSON object is expected")
    return document


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
