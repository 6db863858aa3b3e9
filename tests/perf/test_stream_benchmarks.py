"""`make perf` of streams and the benchmark of their accuracy, in short; times are not looked at."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from commandline import completed

from aibench_fast.load.runner import run
from aibench_fast.server.tokenlog import read_log
from aibench_fast.server.tokenserver import Simulation, TokenServer
from benchmarks.perf import over_streams, stream_clients
from benchmarks.perf.bench import QUICK, Bench
from benchmarks.perf.event_logs import streams_of
from benchmarks.perf.over_streams import BARE_LOOP, OURS
from benchmarks.perf.stream_clients import Load

ROOT = Path(__file__).parents[2]
STREAMS, DECODE_S, PREFILL_S = 4, 0.002, 0.01


def test_accuracy_holds_each_event_against_the_servers_own() -> None:
    done = completed(
        sys.executable, "-m", "benchmarks.stream_accuracy", "--quick", code=None, cwd=ROOT
    )
    found = dict(re.findall(r"^  (.+?)  +([\d.,e+-]+)", done.stdout, re.MULTILINE))
    assert done.stderr == ""
    # Four rounds of eight streams; a role, 20 tokens, and a finish, the usage and the end.
    assert float(found["events"]) == 4 * 8 * (20 + 4)
    assert float(found["lost or unknown events, failed requests"]) == 0
    for name in ("error", "the bare loop's error"):
        p50, p99, most = (
            float(found[f"{name}, {of}"].replace(",", "")) for of in ("p50", "p99", "most")
        )
        assert 0 < p50 <= p99 <= most < 1e6
    assert 20 < float(found["client's peak memory"]) < 300
    assert float(found["CPU an event, ours"]) > 0
    missed = re.search("MISSED", done.stdout) is not None
    assert done.returncode == missed


def test_clients_are_compared_with_what_the_server_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_streams, "PREFILL_S", PREFILL_S)
    monkeypatch.setattr(over_streams, "DECODE_S", DECODE_S)
    monkeypatch.setattr(over_streams, "REQUEST_S", PREFILL_S + 99 * DECODE_S)
    monkeypatch.setattr(over_streams, "STREAMS", STREAMS)
    monkeypatch.setattr(over_streams, "LEAST_RUN_S", 0.5)
    monkeypatch.setattr(over_streams, "RUN_TIMES", 1)
    monkeypatch.setattr(stream_clients, "SERVERS", tmp_path)
    with Bench(tmp_path, replace(QUICK, many_workers=2 * STREAMS)) as bench:
        rows = {row.name: row for row in over_streams.beside_others(bench)}
    for name in (OURS, BARE_LOOP):
        assert rows[f"tokens/s, {name}"].measured == pytest.approx(1, abs=0.2)
        assert rows[f"streams, {name}"].measured is not None
        assert abs(rows[f"{name}: mean gap is off"].measured or 1) < DECODE_S * 1000
    assert not [name for name in rows if "AIPerf" in name or "guidellm" in name]


def test_the_bare_loop_asks_for_as_many_tokens_as_the_client(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with TokenServer(Simulation(prefill_s=0, decode_s=0, log=log)) as server:
        url = f"http://{server.host}:{server.port}"
        result = run(stream_clients.config(tmp_path, url, 2, 7, max_queries=6, burn_in=2))
    assert result.tokens.output_tokens == 4 * 7
    assert len(streams_of(read_log(log)).first_tokens_ns) == 6 + 1  # and one on trial
    sent = stream_clients.request(url, 7)
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: ")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)["max_tokens"] == 7


def test_a_load_of_a_client_that_knows_no_warm_up_is_longer() -> None:
    load = Load("http://127.0.0.1:1", streams=8, run_s=5, request_s=1.5)
    assert (load.warm_up_requests, load.with_warm_up_s) == (16, 8)
