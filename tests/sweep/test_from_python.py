"""`aibench_fast.sweep`, `search` and `repeat`, as a program or a notebook calls them."""

import dataclasses
import json
import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import nbformat
import pytest
from fake_redisai import META, OK, FakeRedisAI
from nbclient import NotebookClient

import aibench_fast
from aibench_fast import ConfigError, RunConfig, ServerAddress, ServerError
from aibench_fast.report.content import gather
from aibench_fast.results.events import Started
from aibench_fast.server import EmbeddedServer
from aibench_fast.studies.events import (
    Note,
    Planned,
    RunFailed,
    RunFinished,
    RunStarted,
    ServerStarted,
    StepFinished,
    StudyEvent,
)


@pytest.fixture
def config(server: EmbeddedServer) -> RunConfig:
    return RunConfig(
        file=None, shape=(16,), model="null", address=server.address, max_queries=20, workers=2
    )


def interrupting(run: int, seen: list[StudyEvent]) -> Callable[[StudyEvent], None]:
    """An observer that sends Ctrl-C while so many runs have started, the last one's load too."""

    def observe(event: StudyEvent) -> None:
        seen.append(event)
        if isinstance(event, Started) and sum(isinstance(e, RunStarted) for e in seen) == run:
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()

    return observe


def test_a_sweep_and_what_reads_its_results(config: RunConfig, tmp_path: Path) -> None:
    seen: list[StudyEvent] = []
    grid = {"workers": [1, 4], "batch_size": (1, 2)}
    made = aibench_fast.sweep(
        config, grid, tmp_path, runs=2, expect=["p50<1h"], observe=seen.append
    )
    assert (len(made.runs), made.done, made.unmade, made.failed) == (8, 0, 0, 0)
    assert {(run.cell.workers, run.cell.batch_size, run.cell.run) for run in made.runs} == {
        (workers, batch, run) for workers in (1, 4) for batch in (1, 2) for run in (1, 2)
    }
    for run in made.runs:
        assert (run.result.setup.workers, run.result.setup.batch_size) == (
            run.cell.workers,
            run.cell.batch_size,
        )
        assert run.result.held
        assert json.loads(run.file.read_text())["Workers"] == run.cell.workers
    assert next(e for e in seen if isinstance(e, Planned)) == Planned(8, 0)
    assert len([e for e in seen if isinstance(e, RunFinished)]) == 8

    assert len(made.results) == len(aibench_fast.read_results(tmp_path)) == 8
    compared = aibench_fast.compare(made.results, made.results)
    assert len({one.cell for one in compared.comparisons}) == 4
    assert len(gather("sweep", made.results).cells) == 4

    again = aibench_fast.sweep(config, grid, str(tmp_path), runs=2)
    assert (again.runs, again.done, again.unmade) == ([], 8, 0)
    assert len(again.results) == 8
    other = dataclasses.replace(config, max_queries=30)
    with pytest.raises(ConfigError, match="its Limit is 20, this sweep's is 30"):
        aibench_fast.sweep(other, grid, tmp_path)


def test_a_setting_that_is_no_axis_is_the_configs(config: RunConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, limit_rps=500.0, arrivals="poisson", seed=3)
    made = aibench_fast.sweep(config, {"workers": range(1, 3)}, tmp_path)
    for run in made.runs:
        assert run.cell.limit_rps == 500.0
        arrivals = run.result.schedule.arrivals
        assert (arrivals["Kind"], arrivals["Seed"]) == ("poisson", 3)


def test_an_interrupted_sweep_is_resumed(config: RunConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(
        config, max_queries=0, duration_s=0.6, reporting_period_s=0.1, limit_rps=200.0
    )
    made = aibench_fast.sweep(config, {"workers": [1, 2, 3]}, tmp_path, observe=interrupting(2, []))
    assert made.interrupted
    assert (len(made.runs), made.unmade) == (2, 1)
    whole, cut = (run.result for run in made.runs)
    assert whole is not None and cut is not None
    assert (whole.interrupted, cut.interrupted) == (False, True)
    saved = [json.loads(file.read_text()) for file in made.files if file.exists()]
    assert [one["Interrupted"] for one in saved] == [False, True]
    kept = made.files[0].stat().st_mtime_ns

    seen: list[StudyEvent] = []
    again = aibench_fast.sweep(config, {"workers": [1, 2, 3]}, tmp_path, observe=seen.append)
    assert Planned(3, 1) in seen
    assert [run.cell.workers for run in again.runs] == [2, 3]
    assert (again.done, again.unmade, again.interrupted) == (1, 0, False)
    assert again.files[0].stat().st_mtime_ns == kept
    assert not any(run.interrupted for run in again.results)
    assert not list(tmp_path.glob("*.journal"))


def test_a_run_that_fails_ends_a_sweep_or_is_left_behind(tmp_path: Path) -> None:
    def refuse(_: Sequence[bytes], number: int) -> bytes:
        return b"-ERR no\r\n" if number == 8 else OK  # the trial request of the second run

    with FakeRedisAI(AI_MODELGET=lambda *_: META, AI_MODELRUN=refuse) as fake:
        config = RunConfig(file=None, shape=(4,), address=fake.address, max_queries=7)
        with pytest.raises(ServerError):
            aibench_fast.sweep(config, {"workers": [1, 2, 3]}, tmp_path / "a")
    with FakeRedisAI(AI_MODELGET=lambda *_: META, AI_MODELRUN=refuse) as fake:
        config = dataclasses.replace(config, address=fake.address)
        seen: list[StudyEvent] = []
        made = aibench_fast.sweep(
            config, {"workers": [1, 2, 3]}, tmp_path / "b", keep_going=True, observe=seen.append
        )
    assert [run.went_well for run in made.runs] == [True, False, True]
    assert isinstance(made.runs[1].error, ServerError)
    assert made.runs[1].result is None
    assert [e.error for e in seen if isinstance(e, RunFailed)] == [made.runs[1].error]
    assert len(made.results) == 2


def test_compared_servers_take_turns_and_embedded_ones_come_and_go(
    config: RunConfig, tmp_path: Path
) -> None:
    pids: list[int] = []

    def observe(event: StudyEvent) -> None:
        if isinstance(event, ServerStarted):
            pids.append(int(event.description.split("pid ")[1].split(";")[0]))
            for pid in pids[:-1]:
                with pytest.raises(ProcessLookupError):
                    os.kill(pid, 0)

    made = aibench_fast.sweep(
        dataclasses.replace(config, shape=(224, 224, 3), max_queries=4),
        {"workers": [1]},
        tmp_path,
        runs=2,
        servers={"mine": {}, "ours": {"embedded": "redisai", "model": "m"}},
        observe=observe,
    )
    assert [run.cell.server_name for run in made.runs] == ["mine", "ours"] * 2
    assert [run.result and run.result.server.name for run in made.runs] == ["mine", "ours"] * 2
    assert len(pids) == 2
    with pytest.raises(ProcessLookupError):
        os.kill(pids[-1], 0)
    ours = made.runs[1].result
    assert "servers_meanwhile" in {one.kind for one in ours.warnings}


def test_a_server_that_is_gone_is_left_out(config: RunConfig, tmp_path: Path) -> None:
    servers = {"gone": {"address": ServerAddress("127.0.0.1", 1)}, "here": {}}
    seen: list[StudyEvent] = []
    made = aibench_fast.sweep(
        config, {"workers": [1]}, tmp_path, servers=servers, keep_going=True, observe=seen.append
    )
    assert (made.left_out, len(made.runs)) == (["gone"], 1)
    assert next(e.words for e in seen if isinstance(e, Note)).startswith("gone is left out: ")


@pytest.mark.parametrize(
    ("grid", "more", "words"),
    [
        ({"wrokers": [1]}, {}, "unknown axis wrokers; use workers, batch_size"),
        ({"workers": []}, {}, "workers has to be a list of at least one value"),
        ({"workers": "1:5:1"}, {}, "workers has to be a list"),
        ({"workers": [0]}, {}, "`workers` 0: it has to be from 1"),
        ({}, {"runs": 0}, "`runs` 0: it has to be at least 1"),
        ({}, {"expect": ["fast"]}, "'fast'"),
        ({}, {"servers": {"a": {"uri": "x"}}}, "servers, a: unknown setting uri"),
        ({}, {"servers": {"../a": {}}}, "servers: name '../a'"),
        ({}, {"servers": {"a": {"embedded": "mysql"}}}, "has to be redisai or triton"),
        ({}, {"servers": {"a": {"protocol": "grpc"}}}, "grpc is for an embedded Triton"),
        ({"autobatching": [64]}, {}, "no run is left"),
        ({"autobatching": [1]}, {"servers": {"a": {"embedded": "triton"}}}, "for RedisAI only"),
        ({}, {"clients": 2}, "without a client of Dask"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_a_run(
    config: RunConfig,
    tmp_path: Path,
    grid: dict[str, list[int]],
    more: dict[str, object],
    words: str,
) -> None:
    with pytest.raises(ConfigError, match=words):
        aibench_fast.sweep(config, grid, tmp_path / "r", **more)  # type: ignore[arg-type]
    assert not list(tmp_path.glob("r/JSON*"))


def test_a_search_and_what_reads_its_results(config: RunConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, max_queries=0, duration_s=0.2)
    seen: list[StudyEvent] = []
    found = aibench_fast.search(
        config, ["p50=10s"], tmp_path, over="workers", highest=2, observe=seen.append
    )
    assert (found.value, found.search.fails_at, found.search.confirmed) == (2, None, True)
    assert (found.best.setup.workers, found.best.held) == (2, True)
    steps = [(e.value, e.held) for e in seen if isinstance(e, StepFinished)]
    assert steps == [(1, True), (2, True), (2, True), (2, True)]
    assert len(found.results) == len(aibench_fast.read_results(tmp_path / "search.json")) == 4
    with pytest.raises(ConfigError, match="has a search already"):
        aibench_fast.search(config, ["p50=10s"], tmp_path)


def test_a_search_over_the_rate_keeps_the_configs_arrivals(
    config: RunConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        config, max_queries=0, duration_s=0.2, limit_rps=1.0, arrivals="poisson"
    )
    found = aibench_fast.search(config, ["p50=10s"], tmp_path, lowest=100, highest=100)
    assert (found.value, found.search.confirmed) == (100, True)
    assert (found.best.setup.limit_rps, found.best.schedule.arrivals["Kind"]) == (100, "poisson")
    with pytest.raises(ConfigError, match="it is a closed loop"):
        aibench_fast.search(config, ["p50=10s"], tmp_path / "w", over="workers")


def test_an_interrupted_search_returns_its_steps(config: RunConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(
        config, max_queries=0, duration_s=1.0, limit_rps=1.0, reporting_period_s=0.1
    )
    found = aibench_fast.search(
        config, ["p50=10s"], tmp_path, lowest=50, observe=interrupting(2, [])
    )
    assert found.search.interrupted
    assert (found.value, found.best) == (None, None)
    assert [(step.value, step.held) for step in found.search.steps] == [(50, True)]
    assert json.loads((tmp_path / "search.json").read_text())["Search"]["Interrupted"]
    assert len(found.results) == 1


def test_repeats_in_memory_and_in_files(config: RunConfig, tmp_path: Path) -> None:
    seen: list[StudyEvent] = []
    made = aibench_fast.repeat(config, 4, observe=seen.append)
    assert (len(made.results), made.interrupted) == (4, False)
    low, high = made.rate.interval or (0, 0)
    assert low <= made.rate.median <= high
    assert Planned(4) in seen
    assert not list(tmp_path.iterdir())
    compared = aibench_fast.compare(made.records, made.records)
    assert {one.cell.workers for one in compared.comparisons} == {2}

    saved = aibench_fast.repeat(config, 2, until=0.99, file=tmp_path / "r.json", expect=["p50<1h"])
    names = json.loads((tmp_path / "r.json").read_text())["Repeats"]["Results"]
    assert names == [f"r-{n}.json" for n in range(1, len(saved.results) + 1)]
    assert len(aibench_fast.read_results([tmp_path / name for name in names])) == len(names)
    assert all(one.expectations for one in saved.results)


def test_interrupted_repeats_are_those_that_were_whole(config: RunConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(
        config, max_queries=0, duration_s=0.6, reporting_period_s=0.1, limit_rps=200.0
    )
    made = aibench_fast.repeat(config, 5, file=tmp_path / "r.json", observe=interrupting(2, []))
    assert made.interrupted
    assert [one.interrupted for one in made.results] == [False]
    summary = json.loads((tmp_path / "r.json").read_text())["Repeats"]
    assert (summary["Runs"], summary["Interrupted"], summary["Results"]) == (1, True, ["r-1.json"])
    assert not list(tmp_path.glob("*.journal"))


def test_a_study_in_a_thread(config: RunConfig) -> None:
    made: list[int] = []
    thread = threading.Thread(
        target=lambda: made.append(len(aibench_fast.repeat(config, 2).results))
    )
    thread.start()
    thread.join(60)
    assert made == [2]


def test_a_result_that_cannot_be_saved_is_seen_before_the_error(
    config: RunConfig, tmp_path: Path
) -> None:
    seen: list[StudyEvent] = []

    def observe(event: StudyEvent) -> None:
        seen.append(event)
        if isinstance(event, RunStarted):
            (tmp_path / "r-1.json").mkdir()  # in the way

    with pytest.raises(ConfigError, match="cannot write"):
        aibench_fast.repeat(config, 2, file=tmp_path / "r.json", observe=observe)
    (finished,) = (e for e in seen if isinstance(e, RunFinished))
    assert finished.result.successes == 20
    assert finished.unsaved is not None


def test_a_progress_bar_in_a_notebook(config: RunConfig, tmp_path: Path) -> None:
    code = (
        "import aibench_fast\n"
        "from aibench_fast.studies.progress import progress_bar\n"
        f"address = aibench_fast.ServerAddress({config.address.host!r}, {config.address.port})\n"
        "config = aibench_fast.RunConfig(\n"
        "    file=None, shape=(16,), model='null', address=address, max_queries=20)\n"
        "with progress_bar() as observe:\n"
        "    made = aibench_fast.sweep(config, {'workers': [1, 2]}, 'r', observe=observe)\n"
        "made.results"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=100, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = notebook.cells[0].outputs
    shown = [out["data"]["text/html"] for out in outputs if "data" in out]
    assert '<progress value="2" max="2">' in shown[0]  # updated in place
    assert "2 of 2 runs" in shown[0]
    assert shown[1].count("<tr>") == 3


def test_a_progress_bar_of_a_file_shows_nothing(
    config: RunConfig, capfd: pytest.CaptureFixture[str]
) -> None:
    from aibench_fast.studies.progress import progress_bar

    with progress_bar() as observe:
        aibench_fast.repeat(config, 2, observe=observe)
    assert capfd.readouterr() == ("", "")
