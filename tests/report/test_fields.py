"""The fields of a result: what follows from each declaration."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from resultfiles import latencies, our_result

from aibench_fast import Result
from aibench_fast.errors import ConfigError
from aibench_fast.results.fieldjson import from_json, known_values, to_json
from aibench_fast.results.fields import counter, declared_fields, leaves, merged
from aibench_fast.results.figures import (
    ClientFigures,
    Failure,
    KindFigures,
    ServerFigures,
    StepFigures,
)
from aibench_fast.results.groups import Connections, Outage, RequestCounts
from aibench_fast.results.result import FORMAT_VERSION, Checked, Interval, Warned
from tools.result_fields import SCHEMA_FILE, TABLE_FILE, schema, table

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "results" / "ours_1.9.json"


def full_result() -> Result:
    """A result in which every field has a value."""
    lags = latencies(*[0.1] * 200)
    part: dict[str, Any] = {
        "successes": 2, "inferences": 2, "failures": {"cut": Failure(1, "é")}, "shed": 3,
        "late_starts": 1, "latencies": lags, "service_latencies": latencies(0.2),
    }  # fmt: skip
    usual = our_result(seconds=5, burn_in_s=1, rate=20.0, failures=3)
    server = ServerFigures(
        name="a:1", kind="RedisAI", version="1.2.7", workers=2, measured_s=10.123,
        server_stats={"model_calls": 3}, **part,
    )  # fmt: skip
    client = ClientFigures(
        name="one", host="bench-1", workers=1, threads=1, measured_s=9.5, cpu_s=0.1,
        busiest_thread=0.1, check=usual.client.check, clock_offset_s=-0.5,
        clock_uncertainty_s=0.001, start_lag_s=0.002, lost="gone", **part,
    )  # fmt: skip
    return our_result(
        seconds=5, burn_in_s=1, rate=20.0, failures=3, limit_rps=12.5, data_file=None, data_seed=3,
        shape=(16,), dtype="INT64", duration_s=12.3456789, measured_s=10.123,
        burn_in_failures={"cut": Failure(2, "x")}, abandoned=6, saturated=2,
        all_requests=RequestCounts(9, 5, 3, 1), outage_count=3,
        outages=[Outage(5, 0.5, 0.25, True, 3, "a:1"), Outage(6, 1.5, 0.25, False, 4)],
        reconnects=1, remade=2, resent=3, moved=4, asked=5, times=lags, late_starts=7, shed=50,
        unsent=9, lag_exceeded=True, service_latencies=lags,
        arrivals={"Kind": "even", "Seed": None, "PeakRps": 50.0},
        steps=[StepFigures(name="20/s for 10s", seconds=2.5, unsent=4, **part)],
        kinds=[KindFigures(name="m", tensors="16 FLOAT", batch_size=2, weight=0.5, **part)],
        servers=[server], clients=[client], start_lags=lags, timer_lags=lags,
        reply_waits=latencies(0.2), cpu_s=1.5, busiest_thread=0.3, least_worker_requests=11,
        most_worker_requests=12, name="n", periods={"overall": {"a": 1}},
        readings={"1": {"h:1": {"f": "x"}}}, facts={"Host": "h", "Cores": 2},
        expectations=[Checked("p99<50ms", 12.5, True, "12.5 ms"), Checked("rate>2", None, False)],
        warnings=[Warned("few_requests", "few")], interrupted=True,
    )  # fmt: skip


def test_a_saved_result_has_all_of_format_1_9_byte_for_byte(tmp_path: Path) -> None:
    full_result().save(tmp_path / "r.json")
    golden = GOLDEN.read_text()
    saved = _as_in(json.loads(golden), json.loads((tmp_path / "r.json").read_text()))
    saved["ResultFormatVersion"] = "1.9"
    assert json.dumps(saved, indent=2) + "\n" == golden


def _as_in(older: Any, plain: Any) -> Any:
    """JSON values without keys that an older version did not have."""
    if isinstance(older, dict):
        return {key: _as_in(older[key], one) for key, one in plain.items() if key in older}
    if isinstance(older, list):
        return [_as_in(*both) for both in zip(older, plain, strict=True)]
    return plain


def test_no_key_is_newer_than_the_format() -> None:
    newest = max(
        (leaf.declared.since for kind in _kinds(Result) for leaf in leaves(kind)), key=parsed
    )
    assert parsed(newest) <= parsed(FORMAT_VERSION)


def parsed(version: str) -> list[int]:
    return [*map(int, version.split("."))]


def test_schema_and_table_are_up_to_date() -> None:
    how = "run `make fields`"
    written = json.dumps(schema(), indent=2) + "\n"
    assert (ROOT / "docs" / SCHEMA_FILE).read_text() == written, how
    assert (ROOT / "docs" / TABLE_FILE).read_text() == table(), how


def test_exact_json_is_read_back_whole() -> None:
    whole = full_result()
    exact = json.dumps(whole.to_json(exact=True))
    read = Result.from_json(json.loads(exact))
    assert json.dumps(read.to_json(exact=True)) == exact
    assert json.dumps(read.to_json()) == json.dumps(whole.to_json())
    assert read.client.start_lags.extremes_us == whole.client.start_lags.extremes_us
    assert read.expectations[0].found == "12.5 ms"
    assert read.counts == whole.counts


def test_a_saved_file_is_read_but_for_what_it_does_not_have() -> None:
    whole = full_result()
    read = Result.from_json(json.loads(GOLDEN.read_text()))
    assert read.setup == dataclasses.replace(whole.setup, shape=(16,))
    assert read.latencies.encode() == whole.latencies.encode()
    assert (read.duration_s, read.client.start_lags.count) == (12.346, 0)


def _kinds(kind: Any) -> Iterator[Any]:
    yield kind
    for leaf in leaves(kind):
        form = leaf.declared.form
        found = [leaf.owner, leaf.kind, *getattr(leaf.kind, "__args__", ())]
        found += [form.values] if form is not None else []
        for inner in found:
            if dataclasses.is_dataclass(inner) and inner is not kind:
                yield from _kinds(inner)


def test_every_field_is_declared() -> None:
    """An undeclared field would be in no file, and lost with a journal."""
    kinds = {*_kinds(Result)}
    assert {Connections, StepFigures, Failure, Interval, Outage} <= kinds
    missing = {
        f"{kind.__name__}.{field.name}"
        for kind in kinds
        for field in dataclasses.fields(kind)
        if field.name not in declared_fields(kind)
    }
    assert missing == {"Interval.unix_ms"}  # its key


@dataclass(frozen=True, kw_only=True)
class OneMore(Connections):
    """A group with a figure more than there are."""

    hiccups: int = counter("Hiccups", since="1.10")
    """Hiccups of the server."""


def test_all_of_a_counter_follows_from_its_declaration() -> None:
    one, other = OneMore(hiccups=2, moved=1), OneMore(hiccups=3)
    both = merged([one, other])
    assert (both.hiccups, both.moved) == (5, 1)
    assert to_json(both)["Hiccups"] == 5
    assert from_json(OneMore, to_json(both, exact=True)).hiccups == 5
    older = to_json(Connections(moved=1))
    read = from_json(OneMore, older)
    assert (read.hiccups, read.moved) == (0, 1)
    assert known_values(OneMore, older)["Hiccups"] == 0
    with pytest.raises(ConfigError, match="Hiccups is 'many'"):
        known_values(OneMore, older | {"Hiccups": "many"})


@pytest.mark.parametrize("value", [True, 2.5, "2", [2], float("nan"), 1e300])
def test_a_value_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="not a result: Threads is"):
        known_values(Result, {"Threads": value})
    assert known_values(Result, {"Threads": 2.0})["Threads"] == 2
