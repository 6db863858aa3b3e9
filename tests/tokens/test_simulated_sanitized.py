"""The server of tokens under the sanitizers for addresses and undefined behaviour."""

import random
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from simulation import prompts_in

from aibench_fast import RunConfig, run
from aibench_fast.server.base import answer_to_get, free_port
from aibench_fast.server.tokenserver import FAILURES, Simulation
from benchmarks.perf import programs
from vendored_sources import Sources

PACKAGE = programs.ROOT / "src" / "aibench_fast"
STARTED_S = 10.0
BODY = (
    b'{"model": "simulated", "messages": [{"role": "user", "content": [{"type": "text", "text": '
    b'"a b"}]}], "max_tokens": 3, "stream": true, "stream_options": {"include_usage": true}}'
)
REQUEST = b"POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
MUTATED = 400


@pytest.fixture(scope="module")
def program(libraries: Sources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    flags = programs.sanitized("address,undefined")
    return programs.compile_c(
        tmp_path_factory.mktemp("sanitized") / "simulated_tokens",
        *sorted((PACKAGE / "server" / "tokens").glob("*.c")),
        libraries=libraries,
        flags=[*flags["flags"], f"-I{PACKAGE}"],
        library_flags=flags["library_flags"],
    )


@contextmanager
def serving(program: Path, words: Sequence[str]) -> Iterator[int]:
    """Its port; it has to end well, without a report."""
    port = free_port()
    process = subprocess.Popen(
        [program, "--port", str(port), *words], stderr=subprocess.PIPE, text=True
    )
    try:
        while answer_to_get(port, "/health") is None:
            assert process.poll() is None
        yield port
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=STARTED_S)
        assert (process.returncode, said) == (0, "")
    finally:
        process.kill()
        process.wait()


def test_streams_of_every_kind(program: Path, tmp_path: Path) -> None:
    simulation = Simulation(
        prefill_s=0.0, decode_s=0.0005, batch_limit=3, reasoning_tokens=2, events_per_write=64,
        segments=3, stall_s=0.02, stall_period_s=0.2, fail_after=2, log=tmp_path / "log",
        failures=dict.fromkeys([*FAILURES, "429", "500"], 0.05),
    )  # fmt: skip
    with serving(program, simulation.words()) as port:
        for path in ("chat/completions", "completions"):
            config = RunConfig(
                file=None,
                url=f"http://127.0.0.1:{port}/v1/{path}",
                model="simulated",
                prompts=prompts_in(tmp_path),
                output_tokens=70,
                max_queries=100,
                workers=10,
                reply_timeout_s=0.5,
            )
            result = run(config)
            assert result.successes > 30
            assert len(result.failures) >= 3
    assert (tmp_path / "log").stat().st_size % 16 == 0


def test_requests_that_nobody_should_send(program: Path) -> None:
    drawn = random.Random(1)
    simulation = Simulation(prefill_s=0.0, decode_s=0.0)
    with serving(program, simulation.words()) as port:
        for _ in range(MUTATED):
            request = bytearray(REQUEST if drawn.random() < 0.8 else REQUEST + REQUEST)
            for _ in range(drawn.choice([0, 1, 1, 2, 5])):
                request[drawn.randrange(len(request))] = drawn.randrange(256)
            if drawn.random() < 0.2:
                del request[drawn.randrange(len(request)) :]
            with socket.create_connection(("127.0.0.1", port)) as client, suppress(OSError):
                client.settimeout(0.005)
                cut = drawn.randrange(len(request) + 1)
                client.sendall(request[:cut])
                client.sendall(request[cut:])
                client.recv(1 << 16)
        deep = b'{"model": "simulated", "prompt": %b%b}' % (b"[" * 10**6, b"]" * 10**6)
        with socket.create_connection(("127.0.0.1", port)) as client:
            head = b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
            client.sendall(head % len(deep) + deep)
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
        # It goes on after all of them.
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(REQUEST)
            got = b""
            while not got.endswith(b"0\r\n\r\n"):
                got += client.recv(1 << 16)
            assert got.count(b" token") == 3
