"""Models with a least batch and no time limit: requests wait until there are enough of them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commandline import Cli
from conservation import broken
from redisclient import connect, load_into
from smallruns import Heard, against

from aibench_fast import ConfigError, Result, RunConfig, run
from aibench_fast.load import watch
from aibench_fast.load.kinds import InputTensor, RequestKind
from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.protocols.redisai.cluster import read_cluster
from aibench_fast.protocols.redisai.commands import Dialect
from aibench_fast.results.events import IntervalLatencies
from aibench_fast.server import EmbeddedServer
from aibench_fast.server.cluster import EmbeddedCluster

SHAPE = (16,)


@pytest.fixture(autouse=True)
def less_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a batch that nobody fills, for which each run waits at its end."""
    monkeypatch.setattr(watch, "PATIENCE_S", 0.5)


def spec(name: str = "m", least: int = 4, most: int = 8, limit_ms: int = 0) -> ModelSpec:
    return ModelSpec(
        name=name, backend=Backend.NULL, batch_size=most, min_batch_size=least,
        min_batch_timeout_ms=limit_ms,
    )  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running:
        load_into(running.address, spec())
        yield running


@contextmanager
def in_bounded_time() -> Iterator[None]:
    """As far below the 90 s of a request's time-out as any machine is quick."""
    began_s = time.monotonic()
    yield
    assert time.monotonic() - began_s < 45


def asked(server: EmbeddedServer, **settings: object) -> Result:
    periods = Heard(IntervalLatencies)
    usual = {"shape": SHAPE, "model": "m", "workers": 8, "interval_latencies": True}
    with in_bounded_time():
        result = against(server, observe=periods, **(usual | settings))
    assert broken(result, [one.latencies for one in periods]) == []
    return result


def warned(result: Result) -> set[str]:
    return {one.kind for one in result.warnings}


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"dialect": Dialect.MODELEXECUTE},
        {"use_dag": True},
        {"use_dag": True, "dialect": Dialect.MODELEXECUTE, "persist_results": True},
        {"pipeline": 2},
        {"workers": 4, "burn_in": 20},
        {"workers": 2, "batch_size": 3},
        {"workers": 1, "batch_size": 4},
        {"limit_rps": 200.0},
    ],
    ids=str,
)
def test_enough_workers_fill_it(server: EmbeddedServer, form: dict[str, object]) -> None:
    result = asked(server, duration_s=0.5, **form)
    assert result.failures == {}
    assert result.successes >= 4
    assert result.went_well
    pipeline = int(str(form.get("pipeline", 1)))
    assert result.counts.abandoned < 4 * pipeline
    assert ("unfilled_batch" in warned(result)) == (result.counts.abandoned > 0)


@pytest.mark.parametrize(("requests", "left"), [(80, 0), (81, 1), (83, 3)])
def test_the_last_requests_that_fill_no_batch_are_abandoned(
    server: EmbeddedServer, requests: int, left: int
) -> None:
    load_into(server.address, spec("exact", most=4))
    result = asked(server, model="exact", max_queries=requests, workers=4)
    connect(server.address).delete("exact")
    assert (result.failures, result.successes, result.counts.abandoned) == (
        {},
        requests - left,
        left,
    )
    assert ("unfilled_batch" in warned(result)) == (left > 0)
    assert result.latencies.max_ms < 1000  # no latency has the wait for the end in it


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({"workers": 3}, "3 x `batch_size` 1 is too few; use at least 4 `workers`"),
        ({"workers": 1, "pipeline": 8}, "1 x `batch_size` 1 is too few; use at least 4 `workers`"),
        ({"workers": 1, "batch_size": 3}, "1 x `batch_size` 3 is too few; use at least 2 `wor"),
        ({"max_queries": 3}, "which is 4 requests of `batch_size` 1, but 3 are sent: send more"),
    ],
)
def test_too_few_are_told_before_anything_is_sent(
    server: EmbeddedServer, settings: dict[str, object], needed: str
) -> None:
    client = connect(server.address)
    before = client.info("commandstats").get("cmdstat_ai.tensorset")
    with pytest.raises(ConfigError) as told:
        asked(server, **({"max_queries": 100} | settings))
    words = str(told.value)
    assert words.startswith("the model m waits for 4 rows (MINBATCHSIZE), without a time limit")
    assert needed in words
    assert words.endswith("or load it with `min_batch_timeout_ms`")
    assert client.info("commandstats").get("cmdstat_ai.tensorset") == before


def test_a_batch_that_can_never_be_filled_is_told(server: EmbeddedServer) -> None:
    load_into(server.address, spec("never", least=7, most=8))
    with pytest.raises(ConfigError, match=r"waits for 7 rows .* no more than 6 fit in its BATCHSI"):
        asked(server, model="never", batch_size=3, max_queries=100)
    result = asked(server, model="never", batch_size=2, max_queries=80)
    assert result.failures == {}
    connect(server.address).delete("never")


def test_with_a_time_limit_one_worker_will_do(server: EmbeddedServer) -> None:
    load_into(server.address, spec("limited", limit_ms=20))
    result = asked(server, model="limited", workers=1, max_queries=5)
    connect(server.address).delete("limited")
    assert (result.failures, result.successes, result.counts.abandoned) == ({}, 5, 0)


def kinds(*shapes: int) -> tuple[RequestKind, ...]:
    return tuple(RequestKind("m", (InputTensor(None, (one,), "FLOAT"),)) for one in shapes)


def test_kinds_that_do_not_join_need_workers_for_each(server: EmbeddedServer) -> None:
    """Of 6 workers 3 may wait with one kind, and 3 with the other: for ever."""
    mixed = {"mix": kinds(8, 16), "shape": (), "model": RunConfig.model}
    with pytest.raises(ConfigError, match=r"too few of any of the mix's kinds; use at least 7 `w"):
        asked(server, workers=6, max_queries=100, **mixed)
    result = asked(server, workers=7, max_queries=200, **mixed)
    assert result.failures == {}
    assert result.successes == 200 - result.counts.abandoned
    assert result.counts.abandoned <= 6


def test_each_shard_of_a_cluster_needs_them() -> None:
    with EmbeddedCluster() as cluster:
        for shard in read_cluster([cluster.address]).shards:
            load_into(shard.primary, spec(shard.key("m"), least=2))
        settings = {
            "file": None, "shape": SHAPE, "model": "m", "address": cluster.address,
            "cluster_mode": True, "max_queries": 300,
        }  # fmt: skip
        with pytest.raises(ConfigError, match="use at least 2 `workers` for each server"):
            run(RunConfig(workers=5, **settings))  # type: ignore[arg-type]
        with in_bounded_time():
            result = run(RunConfig(workers=6, **settings))  # type: ignore[arg-type]
    assert result.failures == {}
    assert result.successes >= 300 - 3


def test_requests_of_others_in_the_trials_batch_do_no_harm(server: EmbeddedServer) -> None:
    """One that waits there already fills the batch of the trial's first three."""
    load_into(server.address, spec("exact", most=4))
    client, other = connect(server.address), connect(server.address)
    client.execute_command("AI.TENSORSET", "t", "FLOAT", 1, *SHAPE)
    other.connection_pool.disconnect()
    waiting = other.connection_pool.get_connection()
    waiting.send_command("AI.MODELRUN", "exact", "INPUTS", "t", "OUTPUTS", "o")
    result = asked(server, model="exact", max_queries=80)
    waiting.disconnect()
    client.delete("t", "o", "exact")
    assert result.failures == {}
    assert result.successes >= 76


@pytest.mark.parametrize("dialect", Dialect)
def test_the_models_batch_size_is_noted(server: EmbeddedServer, dialect: Dialect) -> None:
    found = []
    for most in (0, 32):
        load_into(server.address, spec("batched", least=0, most=most))
        found.append(asked(server, model="batched", max_queries=5, dialect=dialect))
    given = asked(server, model="batched", max_queries=5, metadata_autobatching=16)
    connect(server.address).delete("batched")
    assert [one.setup.metadata_autobatching for one in found] == [0, 32]
    assert not warned(found[1]) & {"autobatching_differs"}
    assert given.setup.metadata_autobatching == 16
    (told,) = (one for one in given.warnings if one.kind == "autobatching_differs")
    assert told.message.startswith("--metadata-autobatching 16, but ")
    assert told.message.endswith(" has the model with BATCHSIZE 32")


def test_servers_that_differ_in_it_note_none(server: EmbeddedServer) -> None:
    with EmbeddedServer(password=server.address.password) as other:
        load_into(server.address, spec("batched", least=0, most=8))
        load_into(other.address, spec("batched", least=0, most=16))
        result = asked(server, model="batched", others=(other.address,), max_queries=20)
        connect(server.address).delete("batched")
    assert result.setup.metadata_autobatching == -1


def where(server: EmbeddedServer) -> tuple[object, ...]:
    return ("--host", server.host, "--port", server.port, "--model", "m")


@pytest.fixture(scope="module")
def open_server() -> Iterator[EmbeddedServer]:
    """Without a password."""
    with EmbeddedServer(password=None) as running:
        load_into(running.address, spec())
        yield running


def test_a_sweep_tells_of_a_cell_that_cannot_be_run_before_its_first(
    cli: Cli, tmp_path: Path, open_server: EmbeddedServer
) -> None:
    usual = ("sweep", *where(open_server), "--shape", 16, "--max-queries", 100)
    done = cli(*usual, "--workers", "8,2")
    assert (done.returncode, done.stderr.count("\n")) == (ConfigError.exit_code, 1)
    assert "2 x --batch-size 1 is too few; use at least 4 --workers" in done.stderr
    assert not (tmp_path / "results").exists()
    # A batch size of the sweep's own is the most that is waited for.
    cli(*usual, "--workers", 2, "--autobatching", 2, "--batch-size", 1, code=0)
    cli(*usual, "--workers", "4,8", code=0)
    assert len([*(tmp_path / "results").glob("JSON_*")]) == 3


def test_a_search_over_the_rate_begins_with_as_many_workers_as_it_takes(
    cli: Cli, open_server: EmbeddedServer
) -> None:
    done = cli(
        "search", *where(open_server), "--shape", 16, "--slo", "p99=10s", "--slo", "errors=100%",
        "--workers", 8, "--to", 300, "--duration", "500ms", "--burn-in", 0,
        "--within", "1s",
    )  # fmt: skip
    assert "4 workers in a closed loop: " in done.stdout, done.stdout + done.stderr


def test_loading_such_a_model_says_what_it_takes(cli: Cli, open_server: EmbeddedServer) -> None:
    usual = (
        "model", "load", *where(open_server)[:-1], "other", "--backend", "NULL", "--batchsize", 8,
        "--minbatchsize", 4,
    )  # fmt: skip
    done = cli(*usual, code=0)
    assert "requests wait for 4 rows without a time limit" in done.stderr
    assert cli(*usual, "--minbatchtimeout", 20).stderr == ""
