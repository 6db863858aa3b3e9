"""The live view: what it draws, and that it is there on a terminal alone."""

import asyncio
import dataclasses
import io
import re
from pathlib import Path

import pytest
from commandline import Cli, on_a_terminal
from fake_redisai import OK, FakeRedisAI
from resultfiles import latencies
from rich.console import Console
from token_server import CHUNKED, DONE, Piece, delta, token_server, whole

from aibench_fast.load.readings import failures_by_kind
from aibench_fast.report.live import LiveView, histogram_rows, sparkline
from aibench_fast.results.events import Reading, StreamReading
from aibench_fast.results.figures import Failure
from aibench_fast.results.groups import Outage

GOLDEN = Path(__file__).parents[1] / "golden"


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


def of_tokens(second: float) -> Reading:
    """The same of a run whose replies are streams of tokens."""
    times = {"ttft": (80.0, 150.0 + second), "gap": (10.0, 25.0)}
    return dataclasses.replace(reading(second), streams=StreamReading(900 + second, times))


def test_the_view_of_tokens_is_as_the_golden_file() -> None:
    view = LiveView()
    view.updated(dataclasses.replace(of_tokens(0), streams=StreamReading(9.0, {"ttft": ()})), 80)
    for second in range(1, 6):
        lines = drawn(view, of_tokens(second))
    assert "\n".join(lines) + "\n" == (GOLDEN / "live_view_tokens.txt").read_text()


@pytest.mark.parametrize(("width", "height"), [(60, 15), (80, 24)])
def test_the_view_of_tokens_fits(width: int, height: int) -> None:
    shown = lines_at(dataclasses.replace(of_tokens(3), outages=(GOING_ON,)), width, height)
    assert len(shown) < height
    assert all(len(line) <= width for line in shown)
    words = "\n".join(shown)
    for line in (r"tokens +903\.00/s", r"ttft +p50 80\.00 ms", "gap +p50", "outage", "failed"):
        assert re.search(line, words), line
    assert shown[-2] == "7 s left"
    unknown = lines_at(dataclasses.replace(of_tokens(3), server={}), width, height)
    assert not any(line.startswith("server") for line in unknown)


def test_a_run_shows_tokens_while_it_goes(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"text": "one"}\n')
    pieces: list[Piece] = [0.02, CHUNKED]
    for _ in range(10):
        pieces += [*whole(delta(content="a"))[1:-1], 0.01]
    with token_server(lambda _: [*pieces, *whole(DONE)[1:]]) as server:
        shown = on_a_terminal(
            "run", "--url", f"{server.address}/v1/chat/completions", "--model", "m",
            "--prompts", tmp_path / "p.jsonl", "--duration", "1s", "--live",
        )  # fmt: skip
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert re.search(r"tokens +[1-9]\d*\.\d\d/s [▁-█]", plain)
    assert re.search(r"ttft +p50 [2-9]\d\.\d\d ms [▁-█]", plain)
    assert re.search(r"gap +p50 \d+\.\d\d ms [▁-█]", plain)


def lines_at(one: Reading, width: int, height: int) -> list[str]:
    """The lines that a terminal of that size shows."""
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(LiveView().updated(one, width, height))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


OVER = Outage(start_unix_ms=0, after_s=2.0, seconds=1.25, is_over=True, attempts=3)
GOING_ON = Outage(start_unix_ms=0, after_s=6.0, seconds=4.0, is_over=False, attempts=1200)


@pytest.mark.parametrize(("width", "height"), [(60, 15), (80, 12), (40, 10), (200, 60)])
@pytest.mark.parametrize("kinds", [1, 2])
def test_outages_failures_and_progress_fit_every_terminal(
    width: int, height: int, kinds: int
) -> None:
    failures = {"connection_lost": Failure(9, "cut"), "connect": Failure(2, "refused")}
    shown = lines_at(
        dataclasses.replace(
            reading(3), outages=(OVER, GOING_ON), failures=dict([*failures.items()][:kinds])
        ),
        width,
        height,
    )
    assert len(shown) < height
    assert all(len(line) <= width for line in shown)
    (outage,) = (line for line in shown if line.startswith("outage"))
    assert re.match("outage +for 4 s now no connection", outage)
    if height > 10:
        assert sum(line.startswith("failed") for line in shown) == kinds
        assert any(re.match("failed +connection_lost 9, first: cut", line) for line in shown)
    else:
        assert any(line.startswith("failed") or " and 2 " in line for line in shown)
    assert shown[-2] == "7 s left"
    assert ("1,200 attempts" in outage) == (width >= 60)


def test_an_outage_that_is_over_is_still_told() -> None:
    shown = lines_at(dataclasses.replace(reading(9), outages=(OVER,)), 80, 24)
    assert any(re.match("outage +of 1.2 s over, from 2 s on, 3 attempts", one) for one in shown)


def test_of_several_servers_the_one_that_is_down_is_named() -> None:
    down = dataclasses.replace(GOING_ON, server="10.0.0.2:6379")
    shown = lines_at(dataclasses.replace(reading(9), outages=(OVER, down)), 80, 24)
    (outage,) = (line for line in shown if line.startswith("outage"))
    assert re.match(r"outage +for 4 s now 10\.0\.0\.2:6379: no connection, 1,200 att", outage)


def test_more_kinds_of_failure_than_lines_are_counted() -> None:
    failures = {f"kind_{number}": Failure(number, "?") for number in range(1, 15)}
    shown = lines_at(dataclasses.replace(reading(3), failures=failures), 60, 15)
    assert len(shown) < 15
    assert [line for line in shown if "more lines" in line] == [shown[-3]]
    assert "and 8 more lines" in shown[-3]


def test_a_running_outage_is_in_the_live_view() -> None:
    with FakeRedisAI() as server:
        server.leave_after("AI.MODELRUN", 40)
        shown = on_a_terminal(
            "run", "--shape", 16, "--port", server.port, "--duration", "2s", "--live",
            "--limit-rps", 200,
            code=1,
        )  # fmt: skip
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert re.search(r"outage +for 1 s now no connection, \d+ attempts", plain)


def test_the_live_view_of_a_run_names_the_server_that_is_down() -> None:
    with FakeRedisAI() as stays, FakeRedisAI() as leaves:
        leaves.leave_after("AI.MODELRUN", 20)
        shown = on_a_terminal(
            "run", "--shape", 16, "--host", f"127.0.0.1:{stays.port},127.0.0.1:{leaves.port}",
            "--workers", 2, "--duration", "2s", "--live", "--limit-rps", 200, code=1,
        )  # fmt: skip
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert re.search(rf"outage +for 1 s now 127\.0\.0\.1:{leaves.port}: no connection", plain)


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


def test_on_a_terminal_it_is_drawn_a_few_times_a_second(tmp_path: Path) -> None:
    with FakeRedisAI(AI_MODELRUN=lambda *_: asyncio.sleep(0.01, OK)) as server:
        shown = on_a_terminal(
            "run", "--shape", 16, "--port", server.port, "--duration", "2s", "--live",
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
