"""`selfcheck --streams`: how many streams of tokens this client reads in time."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from commandline import Cli

from aibench_fast.cli.commands import selfcheck as selfcheck_command
from aibench_fast.coretypes import EVENT_LOG_ENTRY
from aibench_fast.server.tokenlog import CAME, CONTENT, RECORD, ROLE
from aibench_fast.studies import selfcheck, streamcheck
from aibench_fast.studies.streamcheck import Beyond, StreamStep, check_streams


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "TIMER_WAITS", 200)
    monkeypatch.setattr(streamcheck, "SECONDS", 0.6)


def step(p50: float, p99: float, gap: float = 1.0) -> StreamStep:
    return StreamStep(64, 3200.0, (p50, p99, p99), gap, 8.0, 0.1)


def test_a_word_says_how_accurate_times_are() -> None:
    words = [step(*errors).accuracy for errors in ((0.01, 0.1), (0.1, 0.1), (0.01, 0.9), (0.1, 2))]
    assert words == ["good", "fair", "fair", "poor"]


def test_streams_are_too_many_if_client_or_server_is_late() -> None:
    assert step(0.1, 0.9).beyond is None
    assert step(0.1, 1.1).beyond is Beyond.CLIENT
    assert step(0.1, 0.2, gap=1.06).beyond is Beyond.SERVER


def test_each_event_is_held_against_the_servers_own_record_of_it() -> None:
    ms = 1_000_000
    sent, came = [], []
    for port in (7, 9):
        for request in (0, 1):
            sent.append((port, CAME, request, 0))
            sent.append((port, ROLE, request, 0))
            came.append((port, request, ROLE, 0))
            for token in range(3):
                at_ns = (100 * request + 20 * token) * ms
                sent.append((port, CONTENT, request, at_ns))
                if (port, request, token) != (9, 1, 2):  # which the client did not read
                    came.append((port, request, CONTENT, at_ns + port))
    # A port is used again: what the client did not read of its first connection stays apart.
    sent += [(7, CAME, 1, 500 * ms), (7, CONTENT, 1, 600 * ms)]
    came.append((7, 1, CONTENT, 600 * ms + 7))
    del came[came.index((7, 1, CONTENT, 140 * ms + 7))]
    server_ns, client_ns, gap_ns = streamcheck._tokens(
        np.array(sent, RECORD), np.array(came[::-1], np.dtype([*EVENT_LOG_ENTRY]))
    )
    # The first request of each stream does not count.
    assert sorted(client_ns - server_ns) == [7, 7, 7, 9, 9]
    assert gap_ns == 20 * ms


def test_more_and_more_streams_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamcheck, "LATE_SERVER", 1000.0)
    monkeypatch.setattr(streamcheck, "LARGEST_ERROR_MS", 10_000.0)
    advanced: list[int] = []
    found = check_streams(1, lambda: advanced.append(1), [3, 6])
    assert [one.streams for one in found.steps] == [3, 6]
    assert (len(advanced), found.beyond, found.ceiling) == (3, Beyond.UNTRIED, found.steps[1])
    for one in found.steps:
        assert one.errors_ms[0] > 0
        assert one.server_gap > 0.9
        assert 0 < one.events_per_s <= one.streams * 60


def test_the_search_ends_where_streams_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamcheck, "LATE_SERVER", 0.0)
    found = check_streams(1, lambda: None, [2, 4])
    assert [one.streams for one in found.steps] == [2]
    assert (found.beyond, found.ceiling) == (Beyond.SERVER, None)


def test_the_command_prints_and_saves_it(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamcheck, "LATE_SERVER", 1000.0)
    monkeypatch.setattr(streamcheck, "LARGEST_ERROR_MS", 10_000.0)
    monkeypatch.setattr(selfcheck_command, "check_streams", partial(check_streams, streams=[32]))
    done = cli("selfcheck", "--streams", "--threads", 1, "--json-out-file", "s.json", code=0)
    begun = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert begun == ["Machine", "Clock", "Timer", "32 streams", "Client", "Ceiling"]
    assert "simulated server on the same cores" in done.stdout
    found = json.loads((tmp_path / "s.json").read_text())["StreamCheck"]
    (one,) = found["Steps"]
    assert one["Accuracy"] in ("good", "fair", "poor")
    assert (one["Streams"], found["Ceiling"], found["Threads"]) == (32, one, 1)
    assert one["ClientCpuUsPerEvent"] > 0


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--shape", "16"], "--shape with --streams"),
        (["--url", "http://h:1"], "--url, --host, --port or --socket with --streams"),
        (["--threads", "0"], "--threads 0"),
    ],
)
def test_what_is_not_for_streams_is_refused(cli: Cli, words: list[str], error: str) -> None:
    done = cli("selfcheck", "--streams", *words, code=2)
    assert error in done.stderr
