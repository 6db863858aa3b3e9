"""Runs over the workers of a real Dask cluster of processes."""

import asyncio
import json
import os
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conservation import broken
from dask.distributed import Client, LocalCluster
from distributed import versions
from fake_redisai import OK, FakeRedisAI
from manyclients.conftest import MODEL, WORKERS
from manyclients.there import change, hide, hide_boot_id, rename_clock_each_time, restore
from rawserver import raw_server
from smallruns import config_of

from aibench_fast import ConfigError, Result, RunConfig, ServerAddress, ServerError, run
from aibench_fast import cluster as dask_cluster
from aibench_fast.clients import clocks, files
from aibench_fast.clients.split import choose
from aibench_fast.results.events import IntervalLatencies, SendingFile, SoFar
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.result import Interval
from aibench_fast.server import EmbeddedServer

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "result.schema.json").read_text())
SMALL = (16,)
SERVED_S = 0.02


config = partial(config_of, shape=SMALL, model=MODEL, workers=WORKERS)


def test_all_clients_send_what_one_would(server: EmbeddedServer, dask: Client) -> None:
    """Requests, rate, burn-in and periods are the whole's; parts add up; the schema has it."""
    events: list[Any] = []
    result = run(
        config(
            server, workers=4, limit_rps=150.0, max_queries=170, burn_in=20,
            reporting_period_s=0.25, interval_latencies=True, results_so_far=True,
        ),
        events.append,
        client=dask,
    )  # fmt: skip
    assert (result.requests, result.counts.burn_in_requests, result.setup.workers) == (150, 20, 4)
    assert result.measured_s == pytest.approx(149 / 150, abs=0.2)
    assert [client.workers for client in result.clients] == [2, 1, 1]
    assert [client.requests for client in result.clients] == [75, 38, 37]
    assert [client.lost for client in result.clients] == [None] * WORKERS
    periods = [event.latencies for event in events if isinstance(event, IntervalLatencies)]
    assert broken(result, periods) == []
    assert sum(client.requests for client in result.clients) == result.requests
    parts = [client.latencies for client in result.clients]
    assert LatencyHistogram.merged(parts).encode() == result.latencies.encode()
    shown = [event for event in events if isinstance(event, Interval)]
    assert shown == list(result.intervals)
    ends_s = [(one.unix_ms - result.start_unix_ms) / 1000 for one in shown[:4]]
    assert ends_s == pytest.approx([0.25, 0.5, 0.75, 1.0], abs=0.002)
    assert all(event.result.incomplete for event in events if isinstance(event, SoFar))
    jsonschema.validate(json.loads(json.dumps(result.to_json())), SCHEMA)


def test_two_clients_with_half_the_load_give_the_figures_of_one(dask: Client) -> None:
    """By the intervals of the repeats: what the server takes is most of what is measured."""
    with FakeRedisAI(AI_MODELRUN=lambda *_: asyncio.sleep(SERVED_S, OK)) as server:
        whole = RunConfig(
            file=None, shape=SMALL, model=MODEL, workers=8, limit_rps=200.0, duration_s=0.5,
            address=ServerAddress(port=server.port),
        )  # fmt: skip
        repeats = range(3)
        one = [run(whole) for _ in repeats]
        two = [run(whole, client=dask, clients=2) for _ in repeats]
    assert {result.requests + result.schedule.unsent for result in one + two} == {100}
    for results in (one, two):
        assert all(not result.failed and not result.shed for result in results)
        for result in results:
            # From when the first was due to the last answer, no later than the slowest one.
            latest_s = result.latencies.max_ms / 1000 * 1.001  # as the histogram has it
            assert (result.requests - 1) / 200 <= result.measured_s <= 0.5 + latest_s
            assert result.requests_per_s == pytest.approx(result.requests / result.measured_s)
    assert SERVED_S * 1000 <= _spread(two, 0.5)[0] <= _spread(one, 0.5)[1] * 1.25
    assert SERVED_S * 1000 <= _spread(one, 0.5)[0] <= _spread(two, 0.5)[1] * 1.25


def _spread(results: Sequence[Result], quantile: float) -> tuple[float, float]:
    values = [result.latencies.quantiles_ms([quantile])[0] for result in results]
    return min(values), max(values)


def test_tensors_are_those_of_one_client(dask: Client, tmp_path: Path) -> None:
    """From the same first one on, each as often."""
    file = tmp_path / "tensors.out"
    file.write_bytes(os.urandom(50 * 64))
    sent: list[bytes] = []

    def store(arguments: Sequence[bytes], _: int) -> bytes:
        sent.append(arguments[-1])
        return OK

    counts = []
    with FakeRedisAI(AI_TENSORSET=store) as recorder:
        address = ServerAddress(port=recorder.port)
        asked = RunConfig(
            file=file, shape=SMALL, model=MODEL, workers=5, max_queries=120, seed=3, address=address
        )
        for clients in (1, WORKERS):
            run(asked, client=dask, clients=clients)
            trials = 1 if clients == 1 else WORKERS
            counts.append(Counter(sent[trials:]))
            sent.clear()
    assert counts[0] == counts[1]
    assert counts[0].total() == 120


def test_a_file_that_clients_lack_is_sent_once(
    server: EmbeddedServer, dask: Client, tmp_path: Path, changed: Callable[..., None]
) -> None:
    events: list[Any] = []
    file = tmp_path / "tensors.out"
    file.write_bytes(os.urandom(64 * 1000))
    asked = config(server, file=file, max_queries=30)
    changed(hide, file)
    run(asked, events.append, client=dask)
    sent = [event for event in events if isinstance(event, SendingFile)]
    # All workers are of one host, so one of them gets it, and the others see it there.
    assert [(one.done_bytes, one.clients) for one in sent] == [(0, 1), (64_000, 1)]
    events.clear()
    run(asked, events.append, client=dask)
    assert not any(isinstance(event, SendingFile) for event in events)


@pytest.mark.parametrize("name", [None, "lines.txt", "lines.jsonl"])
def test_strings_are_those_of_one_client(
    dask: Client, tmp_path: Path, changed: Callable[..., None], name: str | None
) -> None:
    """Generated ones, and those of a file that the clients lack, which is read as it is here."""
    file = tmp_path / name if name else None
    if file:
        file.write_text("".join(f'"line {n}"\n' for n in range(50)))
        changed(hide, file)
    sent: list[bytes] = []

    def store(arguments: Sequence[bytes], _: int) -> bytes:
        sent.append(arguments[-1])
        return OK

    counts = []
    with FakeRedisAI(AI_TENSORSET=store) as recorder:
        asked = RunConfig(
            file=file, shape=(1,), dtype="BYTES", model=MODEL, workers=5, max_queries=120,
            address=ServerAddress(port=recorder.port), seed=3,
        )  # fmt: skip
        for clients in (1, WORKERS):
            sent.clear()
            run(asked, client=dask, clients=clients)
            trials = 1 if clients == 1 else WORKERS
            counts.append(Counter(sent[trials:]))
    assert counts[0] == counts[1]
    assert counts[0].total() == 120
    if name:
        quote = "" if name == "lines.jsonl" else '"'
        assert set(counts[0]) == {f"{quote}line {n}{quote}\0".encode() for n in range(50)}


def test_a_folder_of_bodies_is_sent_as_its_files(
    dask: Client, tmp_path: Path, changed: Callable[..., None]
) -> None:
    """To clients that lack one of them: an empty one, and one larger than a piece."""
    folder = tmp_path / "bodies"
    folder.mkdir()
    contents = [b"", b"one", os.urandom(files.PIECE_BYTES + 7), b"\r\n"]
    for number, body in enumerate(contents):
        (folder / f"{number}.jpg").write_bytes(body)
    events: list[Any] = []
    changed(hide, folder / "0.jpg")
    with raw_server(lambda head, body: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as server:
        asked = RunConfig(
            file=None, url=f"{server.address}/p", body=folder, content_type="image/jpeg",
            workers=WORKERS, max_queries=8,
        )  # fmt: skip
        result = run(asked, events.append, client=dask, clients=WORKERS)
        bodies = [body for _, body in server.asked]
    assert (result.successes, result.failures) == (8, {})
    sent = [event for event in events if isinstance(event, SendingFile)]
    assert sent[-1].done_bytes == sum(map(len, contents))
    # Each twice, and those of the trials.
    assert Counter(bodies) - Counter(2 * contents) == Counter([b""] * WORKERS)
    assert all(b"\r\nContent-Type: image/jpeg\r\n" in head for head, _ in server.asked)


def test_a_file_that_differs_on_one_worker_is_told(
    server: EmbeddedServer, dask: Client, tmp_path: Path, changed: Callable[..., None]
) -> None:
    file = tmp_path / "tensors.out"
    file.write_bytes(bytes(640))
    other = choose(dask, None, WORKERS)[1]
    changed(change, workers=[other.address])
    with pytest.raises(ConfigError, match=f"{file} differs on the Dask worker {other.name} on"):
        run(config(server, file=file), client=dask)


def test_clocks_of_other_machines_are_measured(
    server: EmbeddedServer, dask: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken for another machine's, the clock here is found to be off by nothing."""
    monkeypatch.setattr(clocks, "clock_id", lambda: "of another machine")
    result = run(config(server, max_queries=30), client=dask)
    offsets = {(one.clock_offset_s, one.clock_uncertainty_s) for one in result.clients}
    ((offset_s, uncertainty_s),) = offsets
    assert uncertainty_s > 0
    assert abs(offset_s) <= uncertainty_s


def test_clients_that_cannot_read_their_boot_id_start(
    server: EmbeddedServer, dask: Client, changed: Callable[..., object]
) -> None:
    """Each process's clock is then measured, though it is the same one."""
    changed(hide_boot_id)
    result = run(config(server, max_queries=30), client=dask)
    assert result.requests == 30
    assert all(one.clock_uncertainty_s > 0 for one in result.clients)


def test_a_client_that_cannot_begin_ends_the_run(
    server: EmbeddedServer, dask: Client, changed: Callable[..., object]
) -> None:
    place = choose(dask, None, WORKERS)[1]
    changed(rename_clock_each_time, workers=[place.address])
    with pytest.raises(ServerError, match=f"{place.name} on .* could not begin the run: KeyError"):
        run(config(server, max_queries=30), client=dask)
    changed(restore)
    assert run(config(server, max_queries=30), client=dask).requests == 30


def test_the_coordinator_costs_next_to_nothing(
    server: EmbeddedServer, dask: Client, tensor_file: Path
) -> None:
    """Of its reports: less than a hundredth of the tensors' bytes, in periods of a fifth second."""
    result = run(
        config(
            server, file=tensor_file, shape=(224, 224, 3), limit_rps=100.0, duration_s=1.0,
            reporting_period_s=0.2,
        ),
        client=dask,
    )  # fmt: skip
    sent_bytes = result.counts.all_requests.sent * 224 * 224 * 3 * 4
    assert 0 < result.facts["CoordinatorBytes"] < sent_bytes / 100


def test_a_client_that_is_killed_is_lost_and_no_more(
    server: EmbeddedServer, dask: Client, worker_pids: dict[str, int]
) -> None:
    """Its reports so far are kept; the others go on with their own share; the result says so."""
    place = choose(dask, None, WORKERS)[0]
    told: list[Interval] = []

    def observe(event: Any) -> None:
        if isinstance(event, Interval):
            told.append(event)
            if len(told) == 3:
                os.kill(worker_pids[place.address], signal.SIGKILL)

    asked = config(server, limit_rps=90.0, duration_s=3.0, reporting_period_s=0.25)
    result = run(asked, observe, client=dask)
    dask.wait_for_workers(WORKERS, timeout=30)
    (lost,) = [one for one in result.clients if one.lost is not None]
    assert (lost.name, result.lost_clients) == (place.name, 1)
    assert "gone" in str(lost.lost)
    assert 15 <= lost.requests <= 60
    others = [one.requests for one in result.clients if one.lost is None]
    assert sum(others) + result.schedule.unsent == 180
    assert result.requests == lost.requests + sum(others)
    assert not result.went_well
    assert [one.kind for one in result.warnings].count("lost_client") == 1


@pytest.mark.parametrize(
    ("changes", "clients", "told"),
    [
        ({"workers": 9}, 4, f"`clients` 4: the Dask cluster has {WORKERS} workers"),
        ({"workers": 1}, 2, "`clients` 2 with `workers` 1"),
        ({"model": "absent"}, 2, "the Dask worker .*absent"),
    ],
)
def test_what_cannot_be_run_is_told_before_the_clock(
    server: EmbeddedServer, dask: Client, changes: dict[str, Any], clients: int, told: str
) -> None:
    with pytest.raises((ConfigError, ServerError), match=told):
        run(config(server, **changes), client=dask, clients=clients)


def test_clients_without_a_cluster_are_none() -> None:
    with pytest.raises(ConfigError, match="`clients` 2 without a client of Dask"):
        run(RunConfig(file=None, shape=SMALL), clients=2)


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"version": "0.0.1"}, "has aibench-fast 0.0.1, and here is .*install the same"),
        ({"missing": "No module named 'aibench_fast'"}, "has no aibench-fast .*No module named"),
    ],
)
def test_workers_without_this_version_are_told(
    server: EmbeddedServer,
    dask: Client,
    monkeypatch: pytest.MonkeyPatch,
    answers: dict[str, str],
    told: str,
) -> None:
    def prober() -> Callable[..., dict[str, str]]:
        return lambda dask_worker: {"name": str(dask_worker.name), "host": "there", **answers}

    monkeypatch.setattr(dask_cluster, "_prober", prober)
    with pytest.raises(ServerError, match=f"the Dask worker . on there {told}"):
        run(config(server), client=dask)


def test_other_versions_of_other_packages_are_no_matter(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask would print a table of them above the one line that says what is wrong."""
    here = versions.get_versions()
    here["packages"]["numpy"] = "0.1"
    monkeypatch.setattr(versions, "get_versions", lambda *_, **__: here)
    with pytest.warns(versions.VersionMismatchWarning):
        Client(cluster.scheduler_address, set_as_default=False).close()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with dask_cluster.connect(cluster.scheduler_address):
            assert not warned


def test_a_run_that_fails_in_one_client_leaves_none_running(
    server: EmbeddedServer, dask: Client
) -> None:
    """The next one finds them free."""
    with pytest.raises(ServerError):
        run(config(server, model="absent"), client=dask)
    start = time.monotonic()
    assert run(config(server, max_queries=30), client=dask).requests == 30
    assert time.monotonic() - start < 20
