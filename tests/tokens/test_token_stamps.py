"""Who takes the times of tokens: the kernel if it can, else the client behind its receive."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from certificates import Certificate
from smallruns import against
from token_server import CHAT, CHUNKED, DONE, Piece, delta, token_server, whole

from aibench_fast.protocols.address import TlsSettings

A = whole(delta(content="a"))[1]


def unread_bytes(server_port: int) -> int:
    """Return how many bytes lie in the sockets that are connected to a server on this machine."""
    port = f":{server_port:04X}"
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(one[4].partition(":")[2], 16) for one in sockets if one[2].endswith(port))


def test_tokens_are_stamped_when_they_came_not_when_they_were_read(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"text": "one"}\n')
    times: list[float] = []
    started: list[subprocess.Popen[bytes]] = []

    def stopped() -> Iterator[Piece]:
        """Stop the client while the second token comes."""
        yield CHUNKED
        times.append(time.monotonic())
        yield A
        time.sleep(0.05)
        os.kill(started[0].pid, signal.SIGSTOP)
        time.sleep(0.05)
        yield A
        times.append(time.monotonic())
        time.sleep(0.4)
        os.kill(started[0].pid, signal.SIGCONT)
        while unread_bytes(server.port):
            time.sleep(0.01)
        yield from whole(DONE)[1:]

    good = whole(delta(content="a"), DONE)

    def answer(number: int) -> Sequence[Piece]:
        return good if number == 0 else cast("Sequence[Piece]", stopped())

    with token_server(answer) as server:
        words = (
            "run", "--url", server.address + CHAT, "--prompts", "p.jsonl", "--model", "m",
            "--max-queries", "1", "--quiet", "--json-out-file", "r.json",
        )  # fmt: skip
        with subprocess.Popen([sys.executable, "-m", "aibench_fast", *words], cwd=tmp_path) as one:
            started.append(one)
    assert one.returncode == 0
    stream = json.loads((tmp_path / "r.json").read_text())["Stream"]
    assert stream["StampedBy"] == "kernel"
    sent_ms = (times[1] - times[0]) * 1000
    assert stream["ChunkGap"]["q100"] <= sent_ms + 1
    assert stream["ChunkGap"]["q0"] >= 95


def test_over_tls_the_client_takes_the_times(tmp_path: Path, certificate: Certificate) -> None:
    (tmp_path / "p.jsonl").write_text('{"text": "one"}\n')
    with token_server(lambda _: whole(delta(content="a"), DONE), certificate.for_server) as server:
        result = against(
            server, prompts=tmp_path / "p.jsonl", max_queries=4, tls=TlsSettings(insecure=True)
        )
    assert result.stream["StampedBy"] == "client"
    assert result.tokens.chunks == 4
