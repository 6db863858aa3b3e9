"""Limits that a client runs into: too large a reply, memory, descriptors, its file, the clock."""

import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from commandline import as_process, completed
from fake_inference import Asked, FakeInference, well
from fake_redisai import OK, FakeRedisAI
from faults.runs import NULL, conserved, redisai
from redisclient import connect, load_into

from aibench_fast._core import LoadGenerator, Tensors
from aibench_fast.coretypes import Endpoint, HttpPlan, Kind, OipOutput, RespPlan
from aibench_fast.server import EmbeddedServer

MIB = 1 << 20
TOLD_BYTES = 512 * MIB
SENT_BYTES = 48 * MIB
LARGEST_GROWTH_KIB = 16 << 10
HTTP_PLAN = HttpPlan(b"", [OipOutput("y", "FP32", "FLOAT", (1,), 4)], 200)
WITH_PEAK = """
import resource, sys
from aibench_fast.cli import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""
FIRST_TOO_LARGE = 6


def run_and_peak_kib(folder: Path, *arguments: object) -> tuple[str, int]:
    """Return the output of a run of ten requests in a process of its own, and its peak memory."""
    words = [sys.executable, "-c", WITH_PEAK, "run", "--quiet", "--max-queries", "10"]
    done = completed(*words, *arguments, code=None, cwd=folder)
    assert done.stderr == ""
    *lines, peak = done.stdout.splitlines()
    return "\n".join(lines), int(peak)


def limited(
    folder: Path, limit: int, most: int, *arguments: object
) -> "subprocess.CompletedProcess[str]":
    """A command under a limit of the system."""
    return as_process(
        folder, *arguments, preexec_fn=lambda: resource.setrlimit(limit, (most, most))
    )


def test_a_reply_far_too_large_takes_no_memory(tmp_path: Path) -> None:
    with FakeRedisAI() as server:
        usual = server.behaviour("AI.TENSORGET")
        asked = ("--shape", 4, "--model", "m", "--port", server.port)
        _, usual_kib = run_and_peak_kib(tmp_path, *asked)

        def too_large(words: Sequence[bytes], _number: int) -> object:
            if server.counts["AI.MODELRUN"] < 11 + FIRST_TOO_LARGE:
                return usual(words, 0)
            return b"$%d\r\n" % TOLD_BYTES + bytes(SENT_BYTES)

        server.behave("AI.TENSORGET", too_large)  # type: ignore[arg-type]
        printed, peak_kib = run_and_peak_kib(tmp_path, *asked)
    assert "Run complete after 4 inferences" in printed
    assert "wrong_size: 6, first: a reply of over 1052580 bytes, expected 4004" in printed
    assert peak_kib - usual_kib < LARGEST_GROWTH_KIB


def test_a_body_far_too_large_takes_no_memory(tmp_path: Path) -> None:
    def too_large(asked: Asked, number: int) -> bytes:
        if number < 11 + FIRST_TOO_LARGE - 1:
            return well(asked, number)
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % TOLD_BYTES + bytes(SENT_BYTES)

    with FakeInference(infer=too_large) as server:
        asked = ("--model", "m", "--url", server.url)
        _, usual_kib = run_and_peak_kib(tmp_path, *asked)
        printed, peak_kib = run_and_peak_kib(tmp_path, *asked)
    assert "Run complete after 4 inferences" in printed
    assert "protocol: 6, first: not an HTTP reply: a body far longer" in printed
    assert peak_kib - usual_kib < LARGEST_GROWTH_KIB


class Endless:
    """A server that answers whatever comes by bytes without an end, as fast as they are read."""

    def __init__(self, first: bytes, again: bytes) -> None:
        self._first, self._again = first, again * 2000
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                taken, _ = self._listening.accept()
                threading.Thread(target=self._answer, args=(taken,), daemon=True).start()

    def _answer(self, taken: socket.socket) -> None:
        with suppress(OSError), taken:
            taken.recv(1 << 16)
            taken.sendall(self._first)
            while True:
                taken.sendall(self._again)

    def close(self) -> None:
        self._listening.close()


@pytest.mark.parametrize(
    ("plan", "first", "again"),
    [
        (RespPlan([None]), b"*1000000000\r\n", b":1\r\n"),
        (RespPlan([None]), b"$1000000000\r\n", b"x"),
        (HTTP_PLAN, b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (HTTP_PLAN, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
)
def test_a_reply_without_an_end_does_not_hold_up_the_run(
    plan: RespPlan | HttpPlan, first: bytes, again: bytes
) -> None:
    server = Endless(first, again)
    generator = LoadGenerator(
        kinds=[Kind([Tensors.generate(4, 16, "FLOAT", 1)], [[b"what?", b""]], plan)],
        endpoints=[Endpoint("127.0.0.1", server.port)],
        threads=1, burn_in_requests=0, max_requests=5, duration_ns=0, reply_timeout_ns=10**8,
        connect_timeout_ns=10**10, stop_on_failure=False, reconnect_for_ns=10**10,
    )  # fmt: skip
    generator.start()
    assert generator.wait(60)
    measured = generator.snapshot().measured
    generator.close()
    server.close()
    assert measured.counters["successes"] == 0
    assert sum(count for count, _ in measured.failures.values()) == 5


def test_too_few_descriptors_are_one_line_before_the_run(tmp_path: Path) -> None:
    with FakeRedisAI() as server:
        done = limited(
            tmp_path, resource.RLIMIT_NOFILE, 64,
            "run", "--shape", 4, "--port", server.port, "--workers", 100,
        )  # fmt: skip
        assert server.counts["AI.MODELRUN"] == 1
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--workers 100" in done.stderr
    assert "64 files" in done.stderr
    assert "ulimit -Hn" in done.stderr


def test_descriptors_that_run_out_in_the_run_are_a_failure_to_connect() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with FakeRedisAI() as server:

        def cut(_: Sequence[bytes], number: int) -> bytes | None:
            if number != 5:
                return OK
            resource.setrlimit(resource.RLIMIT_NOFILE, (5, before[1]))  # as good as none left
            return None

        server.behave("AI.MODELRUN", cut)
        try:
            result = conserved(**redisai(server), duration_s=60.0, reconnect_for_s=0.2)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert result.successes == 4
    assert {kind: one.count for kind, one in result.failures.items()} == {
        "connection_lost": 1,
        "connect": 1,
    }
    assert "Too many open files" in result.failures["connect"].first_message


@pytest.mark.parametrize(
    "arguments", [("--shape", 100_000), ("--shape", 4, "--workers", 1000, "--pipeline", 1000)]
)
def test_too_little_memory_is_one_line(tmp_path: Path, arguments: Sequence[object]) -> None:
    with FakeRedisAI() as server:
        done = limited(
            tmp_path, resource.RLIMIT_AS, 180 * MIB, "run", "--port", server.port, *arguments
        )
    assert done.returncode in (2, 3, 4)
    assert done.stderr.count("\n") == 1
    assert "emory" in done.stderr


@pytest.mark.parametrize("change", ["truncated", "replaced"])
def test_the_tensor_file_changes_in_the_run(tmp_path: Path, change: str) -> None:
    """One that another takes the place of is sent all the same: it is mapped, not read by name."""
    file = tmp_path / "tensors.out"
    file.write_bytes(bytes(range(256)) * 256)

    def act(_: Sequence[bytes], number: int) -> bytes:
        if number == 5 and change == "truncated":
            os.truncate(file, 16)
        elif number == 5:
            (tmp_path / "new").write_bytes(bytes(1 << 16))
            (tmp_path / "new").replace(file)
        return OK

    with FakeRedisAI(AI_MODELRUN=act) as server:
        result = conserved(
            **redisai(server), file=file, shape=(4096,), dtype="FLOAT", max_queries=20
        )
        sent = server.blobs
    if change == "truncated":
        assert result.failures["tensor_file"].count == 1
        assert "was changed while it was sent from" in result.failures["tensor_file"].first_message
        assert result.successes == 5
    else:
        assert (result.successes, result.failures) == (20, {})
        assert sent[-1] == bytes(range(256)) * 64


def test_the_clock_set_back_makes_nothing_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    wall_ns = time.time_ns

    def set_back() -> None:
        monkeypatch.setattr(time, "time_ns", lambda: wall_ns() - 3600 * 10**9)

    with FakeRedisAI() as server:
        result = conserved(
            set_back, **redisai(server), limit_rps=200.0, duration_s=0.3, reporting_period_s=0.05
        )
    assert result.successes + result.schedule.unsent == 60
    assert 0.2 < result.measured_s < 30
    assert result.start_unix_ms <= result.end_unix_ms
    times = [one.unix_ms - result.start_unix_ms for one in result.intervals]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] < 30_000


@pytest.mark.parametrize("use_dag", [False, True])
def test_what_many_workers_stored_is_deleted_in_pieces(use_dag: bool) -> None:
    deleted: list[Sequence[bytes]] = []

    def delete(arguments: Sequence[bytes], _number: int) -> bytes:
        deleted.append(arguments[1:])
        return b":%d\r\n" % len(arguments[1:])

    with FakeRedisAI(DEL=delete) as server:
        result = conserved(workers=600, max_queries=600, use_dag=use_dag, **redisai(server))
    assert result.successes == 600
    keys = [key for piece in deleted for key in piece]
    assert len(set(keys)) == len(keys) >= 1200
    assert max(map(len, deleted)) <= 1000


def test_more_workers_than_the_server_takes_at_the_start() -> None:
    with EmbeddedServer(password=None) as server:
        load_into(server.address, NULL)
        connect(server.address).config_set("maxclients", 4)
        result = conserved(address=server.address, model="null", workers=6, duration_s=0.4)
    (kind,) = result.failures
    assert kind == "error_reply"
    assert result.failures[kind].first_message == "ERR max number of clients reached"
    assert result.successes > 0
