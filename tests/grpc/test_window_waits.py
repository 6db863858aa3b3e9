"""How long requests waited for the server's windows, in what a run shows and saves."""

import json
from pathlib import Path
from typing import Any

import http2frames as h2
from commandline import Cli
from fake_grpc import GENEROUS, Connection, FakeGrpc, later
from fake_inference import FakeInference

HELD_UP_S = 0.02
WINDOW_BYTES = 1000
LINE = "Waits for the server's flow-control windows: p50 "
WARNING = "for the server to open its flow-control windows"


def held_up(connection: Connection, came: h2.Frame) -> None:
    """Open the window of each stream a while after it began."""
    if came.type == h2.Type.HEADERS:
        later(HELD_UP_S, lambda: connection.send(h2.window_update(came.stream, 1 << 20)))


def a_run(cli: Cli, tmp_path: Path, url: str) -> tuple[dict[str, Any], str]:
    """Return its result, and its summary; a request has more bytes than the small window."""
    done = cli(
        "run", "--url", url, "--model", "m", "--batch-size", 200, "--workers", 2,
        "--max-queries", 8000, "--burn-in", 2, "--json-out-file", "r.json", code=0, errors=0,
    )  # fmt: skip
    return json.loads((tmp_path / "r.json").read_text()), done.stdout


def test_waits_are_shown_and_warned_of(cli: Cli, tmp_path: Path) -> None:
    settings = {**GENEROUS, h2.INITIAL_WINDOW_SIZE: WINDOW_BYTES}
    with FakeGrpc(settings=settings, on_frame=held_up) as server:
        saved, summary = a_run(cli, tmp_path, server.url)
    assert saved["WindowWait"]["q50"] >= HELD_UP_S * 1000 * 0.9
    assert saved["WindowWait"]["q50"] <= saved["OverallQuantiles"]["AllQueries"]["q50"]
    assert 0.1 < saved["WindowShare"] <= 1
    assert LINE in summary
    assert "window_waits" in [one["Kind"] for one in saved["Warnings"]]
    assert WARNING in summary
    assert cli("report", "r.json", "--out", "report.html").returncode == 0
    report = (tmp_path / "report.html").read_text()
    assert WARNING in report
    assert "<th scope=col>Window wait p50 (ms)</th>" in report
    assert f"<td>{saved['WindowWait']['q50']:,.3f}</td>" in report
    assert f"<td>{100 * saved['WindowShare']:,.3f}</td>" in report


def test_a_server_with_large_windows_is_not_waited_for(cli: Cli, tmp_path: Path) -> None:
    with FakeGrpc() as server:
        saved, summary = a_run(cli, tmp_path, server.url)
    assert saved["WindowShare"] < 0.01
    assert LINE in summary
    assert WARNING not in summary
    assert cli("report", "r.json", "--out", "report.html").returncode == 0
    assert "the latency for" not in (tmp_path / "report.html").read_text()


def test_http_has_no_windows(cli: Cli, tmp_path: Path) -> None:
    with FakeInference() as server:
        saved, summary = a_run(cli, tmp_path, f"http://127.0.0.1:{server.port}")
    assert (saved["WindowWait"], saved["WindowShare"]) == (None, 0)
    assert LINE not in summary
