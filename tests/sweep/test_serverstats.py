"""The counts of a server during a run, read beside it and without disturbing it."""

import asyncio
import json
import re
from functools import partial
from pathlib import Path

import pytest
import redis
from commandline import Cli
from fake_redisai import OK, FakeRedisAI, bulk
from smallruns import against

from aibench_fast import RunConfig, run
from aibench_fast.protocols.redisai.statistics import derived, request_time
from aibench_fast.protocols.statistics import ServerReading, between
from aibench_fast.server import EmbeddedServer

run_null = partial(against, model="null")


def test_periods_add_up_to_the_whole_run(server: EmbeddedServer, tensor_file: Path) -> None:
    result = run_null(
        server, tensor_file, limit_rps=100, max_queries=60, workers=2, reporting_period_s=0.2
    )
    overall = result.server.periods["overall"]
    periods = [stats for key, stats in result.server.periods.items() if key != "overall"]
    assert len(periods) >= 3
    keys = {str(interval.unix_ms) for interval in result.intervals}
    assert set(result.server.periods) <= keys | {"overall"}
    for name in ("model_calls", "model_samples", "ai.tensorset_calls", "ai.modelrun_calls"):
        assert overall[name] == 60
        assert sum(stats.get(name, 0) for stats in periods) == 60
    assert sum(stats["period_s"] for stats in periods) == pytest.approx(
        overall["period_s"], abs=0.001
    )
    assert overall["model_errors"] == 0
    cpu = ("process_cpu_user_s", "main_thread_cpu_sys_s", "queue_CPU_thread_1_cpu_s")
    assert all(overall[name] >= 0 for name in cpu)
    assert overall["used_memory_rss_bytes"] > 1_000_000
    assert "notes" not in overall
    assert "ai.info_calls" not in overall  # the probes' own


def test_batches_are_counted_as_their_images(server: EmbeddedServer, tensor_file: Path) -> None:
    result = run_null(server, tensor_file, batch_size=4, max_queries=40)
    overall = result.server.periods["overall"]
    assert (overall["model_calls"], overall["model_samples"]) == (10, 40)
    assert derived(overall)["mean_batch"] == 4


def counted(client: redis.Redis) -> int:
    reply = client.execute_command("AI.INFO", "null")  # type: ignore[no-untyped-call]
    return int(reply[reply.index(b"calls") + 1])


def test_nothing_is_reset_unless_asked(
    server: EmbeddedServer, client: redis.Redis, tensor_file: Path
) -> None:
    for _ in range(2):
        run_null(server, tensor_file, max_queries=10)
    assert counted(client) == 22  # with a trial each
    run_null(server, tensor_file, max_queries=10, reset_stats=True)
    assert counted(client) == 10
    commands = client.info("commandstats")
    assert commands["cmdstat_ai.tensorset"]["calls"] == 10


def test_a_server_that_refuses_statistics_is_measured_all_the_same(tensor_file: Path) -> None:
    refused = b"-NOPERM this user has no permissions\r\n"
    with FakeRedisAI() as server:
        info = server.behaviour("INFO")
        server.behave("INFO", lambda words, n: info(words, n) if words[1] == b"server" else refused)
        address = server.address
        result = run(RunConfig(file=tensor_file, address=address))
    assert (result.successes, result.failed) == (7, 0)
    notes = result.server.periods["overall"]["notes"]
    assert any(note.startswith("INFO all: ") and "permissions" in note for note in notes)
    assert any(note.startswith("AI.INFO ") for note in notes)


def test_a_probe_without_an_answer_neither_ends_nor_delays_the_run(
    tensor_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aibench_fast.protocols.redisai.statistics.PROBE_TIMEOUT_S", 0.5)
    with FakeRedisAI(AI_MODELRUN=lambda *_: asyncio.sleep(0.05, OK)) as server:
        server.behave("AI.INFO", lambda _, number: asyncio.sleep(3600 if number else 0, OK))
        address = server.address
        config = RunConfig(
            file=tensor_file, address=address, max_queries=20, reporting_period_s=0.1
        )
        result = run(config)
    assert result.successes == 20
    assert len(result.intervals) >= 8  # the lines go on meanwhile
    assert any("no reading" in note for note in result.server.periods["overall"]["notes"])


def test_every_queue_of_every_device(tensor_file: Path) -> None:
    modules = (
        "# ai_cpu\r\nai_queue_CPU_bthread_#1_used_cpu_total:{:f}\r\n"
        "ai_queue_GPU:1_bthread_n2_used_cpu_total:{:f}\r\n"
    )
    with FakeRedisAI() as server:
        info = server.behaviour("INFO")
        server.behave(
            "INFO",
            lambda words, n: (
                bulk(modules.format(n, 2 * n).encode())
                if words[1] == b"modules"
                else info(words, n)
            ),
        )
        address = server.address
        overall = run(RunConfig(file=tensor_file, address=address)).server.periods["overall"]
    assert overall["queue_CPU_thread_1_cpu_s"] > 0
    assert overall["queue_GPU:1_thread_2_cpu_s"] == 2 * overall["queue_CPU_thread_1_cpu_s"]


def test_a_counter_that_went_back_is_noted_and_left_out() -> None:
    before = ServerReading(10.0, {"model_calls": 50, "ai.modelrun_calls": 3})
    after = ServerReading(12.5, {"model_calls": 4, "ai.modelrun_calls": 8, "ai.dagrun_calls": 2})
    assert between(before, after) == {
        "period_s": 2.5,
        "ai.modelrun_calls": 5,
        "ai.dagrun_calls": 2,
        "notes": ["reset by someone meanwhile: model_calls"],
    }


def test_where_the_time_of_a_request_went() -> None:
    stats = {
        "model_calls": 20, "model_samples": 40, "model_duration_us": 160_000,
        "ai.tensorset_calls": 40, "ai.tensorset_us": 4_000,  # two inputs a request
        "ai.tensorget_calls": 20, "ai.tensorget_us": 1_000,
    }  # fmt: skip
    assert request_time(stats, requests=20, latency_ms=11.0, client_cpu_s=0.005) == {
        "client_ms": pytest.approx(0.25),
        "main_thread_ms": pytest.approx(0.25),
        "inference_ms": pytest.approx(8.0),
        "queue_and_network_ms": pytest.approx(2.5),
    }
    assert request_time({}, requests=20, latency_ms=11.0, client_cpu_s=0.005) is None


def masked(text: str) -> str:
    """The output of `stats` without its figures, and without what only some servers tell."""
    lines = [
        re.sub(r"\d+\.\d+|(?<=usec=)\d+", "<n>", line)
        for line in text.splitlines()
        if not re.match(
            r"ai_OpenVINO|ai_embedded_version|ai_children|module:name=lua|ai_batch", line
        )
    ]
    masked = "\n".join(lines) + "\n"
    for varying in (r'(?<="duration"\n12\) \(integer\) )\d+', r"(?<=ai\.info:calls=)\d+"):
        masked = re.sub(varying, "<n>", masked)
    return re.sub(r" +<n>", " <n>", masked)


def test_stats_shows_the_replies_and_what_they_come_to(
    cli: Cli, server: EmbeddedServer, tensor_file: Path, tmp_path: Path
) -> None:
    where = ("--port", server.port, "--model", "null")
    run_it = ("run", *where, "--file", tensor_file, "--batch-size", 5, "--max-queries", 50)
    assert cli(*run_it, "--quiet", "--json-out-file", "r.json", "--reset-stats").returncode == 0
    done = cli("stats", *where, "--result", "r.json", code=0, errors=0)
    golden = Path(__file__).parents[1] / "golden" / "stats.txt"
    assert masked(done.stdout) == golden.read_text()

    read = json.loads(cli("stats", *where, "--result", "r.json", "--format", "json").stdout)
    assert read["Statistics"]["model_calls"] == 10
    assert read["Derived"]["mean_batch"] == 5
    result = json.loads((tmp_path / "r.json").read_text())
    assert read["RequestTime"]["client_ms"] == pytest.approx(result["ClientCpuSeconds"] * 100)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"OverallQuantiles": {}}'])
def test_what_is_no_result_is_refused(
    cli: Cli, server: EmbeddedServer, tmp_path: Path, content: str
) -> None:
    (tmp_path / "r.json").write_text(content)
    done = cli("stats", "--port", server.port, "--model", "null", "--result", "r.json")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "r.json" in done.stderr


def test_stats_of_an_unknown_model_are_told_in_the_servers_words(
    cli: Cli, server: EmbeddedServer
) -> None:
    done = cli("stats", "--port", server.port, "--model", "nosuch")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert "cannot find run info" in done.stderr
