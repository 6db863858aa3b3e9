"""The live view: what it draws, and that it is there on a terminal alone."""

import asyncio
import dataclasses
import io
import os
import pty
import re
import subprocess
import threading
from pathlib import Path

from commandline import Cli, command
from fake_redisai import OK, FakeRedisAI
from rich.console import Console

from aibench_fast._core import Histogram
from aibench_fast.load.readings import failures_by_kind
from aibench_fast.report.live import LiveView, histogram_rows, sparkline
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.result import Failure, Reading

GOLDEN = Path(__file__).parents[1] / "golden"


def latencies(*values_ms: float) -> LatencyHistogram:
    histogram = Histogram()
    for value in values_ms:
        histogram.record(round(value * 1e6))
    counts = histogram.counts()
    return LatencyHistogram.from_counts(counts.counts, counts.min_us, counts.max_us)


def reading(second: float) -> Reading:
    return Reading(
        seconds=second,
        seconds_left=10 - second,
        is_measuring=True,
        requests=round(100 * second),
        rate=50 + 10 * second,
        quantiles_ms=(5.0, 9.0 + second),
        latencies=latencies(*[2.0] * 50, *[5.0] * 100, *[20.0] * 3),
        failures={"error_reply": Failure(7, "ERR model key is empty")},
        server={
            "period_s": 1.0, "process_cpu_user_s": 1.2, "process_cpu_sys_s": 0.3,
            "used_memory_rss_bytes": 300 << 20,
        },
    )  # fmt: skip


def drawn(view: LiveView, one: Reading) -> list[str]:
    """The view's lines after one more reading."""
    console = Console(file=io.StringIO(), width=80)
    console.print(view.updated(one, 80))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_view_is_as_the_golden_file() -> None:
    view = LiveView()
    for second in range(1, 6):
        lines = drawn(view, reading(second))
    assert "\n".join(lines) + "\n" == (GOLDEN / "live_view.txt").read_text()


def test_a_period_without_a_success_has_no_latency_in_the_view() -> None:
    view = LiveView()
    view.updated(dataclasses.replace(reading(1), quantiles_ms=(), rate=0.0), 80)
    assert drawn(view, reading(2))[2] == drawn(LiveView(), reading(2))[2]
    stalled = drawn(view, dataclasses.replace(reading(3), quantiles_ms=(), rate=0.0))
    assert stalled[1:4] == [
        "rate           0.00/s ▁█▁",
        "p50         not known █",
        "p99         not known █",
    ]


def test_a_sparkline_goes_from_0_to_the_highest() -> None:
    assert sparkline([0, 5, 10]) == "▁▅█"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([]) == ""


def test_the_histogram_has_every_latency_in_one_row() -> None:
    rows = histogram_rows(latencies(*[1.0] * 10, *[3.0] * 40, *[100.0] * 5))
    assert sum(count for _, count, _ in rows) == 55
    assert max(share for _, _, share in rows) == 1
    assert rows[-1][1] == 5
    assert [end for end, _, _ in rows] == sorted(end for end, _, _ in rows)
    assert sum(count for _, count, _ in histogram_rows(latencies(7.0))) == 1
    assert histogram_rows(latencies()) == []


def on_a_terminal(*words: object) -> str:
    """What a command writes to a terminal."""
    own, its = pty.openpty()
    output = io.BytesIO()

    def read() -> None:
        try:
            while piece := os.read(own, 65536):
                output.write(piece)
        except OSError:  # its other end was closed
            pass

    reader = threading.Thread(target=read)
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "50"}
    process = subprocess.Popen(command(*words), stdout=its, stderr=its, stdin=its, env=environment)
    os.close(its)
    reader.start()
    assert process.wait(60) == 0
    reader.join(10)
    os.close(own)
    return output.getvalue().decode()


def test_on_a_terminal_it_is_drawn_a_few_times_a_second(tmp_path: Path) -> None:
    with FakeRedisAI(AI_MODELRUN=lambda *_: asyncio.sleep(0.01, OK)) as server:
        shown = on_a_terminal(
            "run", "--shape", 16, "--port", server.port, "--duration", "2s", "--live",
            "--output-file-stats-hdr-response-latency-hist", "",
        )  # fmt: skip
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert 3 <= plain.count("measuring, ") <= 11  # five times a second at most
    assert re.search(r"p99 +\d+\.\d\d ms [▁-█]", plain)
    assert "s left" in plain
    assert "Run complete after" in plain


def test_into_a_pipe_the_lines_are_as_they_were(cli: Cli) -> None:
    with FakeRedisAI() as server:
        done = cli("run", "--shape", 16, "--port", server.port, "--max-queries", 50, "--live")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("time (ms),total queries,")
    assert "measuring, " not in done.stdout


def test_failures_of_the_burn_in_and_after_it_are_added() -> None:
    burn_in, measured = {"timeout": (500, "first")}, {"timeout": (1, "later"), "connect": (2, "no")}
    assert failures_by_kind(burn_in, measured) == {
        "timeout": Failure(501, "first"),
        "connect": Failure(2, "no"),
    }
