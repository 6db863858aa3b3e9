"""Conversations: their turns go in order, each after the one before it has ended."""

import json
import threading
from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from commandline import Cli
from smallruns import against, config_of
from token_server import CHAT, DONE, Piece, TokenServer, delta, token_server, whole

from aibench_fast import _core, run
from aibench_fast.coretypes import Schedule, Share
from aibench_fast.results.events import Event, Waiting

GOOD = whole(delta(content="a"), DONE)


def turn(session: object, number: int, **others: object) -> dict[str, Any]:
    text = f"{session} {number}"
    return {"session": session, "text": text, "answer": f"to {text}", **others}


def written(folder: Path, lines: Sequence[object]) -> Path:
    file = folder / "prompts.jsonl"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    return file


def last_text(body: Mapping[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def by_session(server: TokenServer) -> dict[str, list[tuple[int, int]]]:
    """Return each session's turns as they came, with their numbers of all; without the trial."""
    found = defaultdict(list)
    for number, body in enumerate(server.asked):
        session, place = last_text(body).split()
        if number:
            found[session].append((int(place), number))
    return found


def test_turns_go_in_order_each_after_the_one_before(tmp_path: Path) -> None:
    """Three conversations side by side: none goes on until all three have begun."""
    lines = [turn(session, number) for number in range(4) for session in ("a", "b", 3)]
    begun = threading.Barrier(3, timeout=20)
    first = ("a 0", "b 0", "3 0")

    def answer(number: int) -> Sequence[Piece]:
        if number and last_text(server.asked[number]) in first:
            begun.wait()
        return [0.01, *GOOD]

    with token_server(answer) as server:
        result = against(server, prompts=written(tmp_path, lines), workers=3)
    assert (result.successes, result.failures) == (12, {})
    for turns in by_session(server).values():
        assert [place for place, _ in turns] == [0, 1, 2, 3]
        for (_, before), (_, after) in pairwise(turns):
            assert server.asked_at[after] > server.ending_at[before]
    assert (result.facts["Sessions"], result.facts["Turns"]) == (3, 12)
    assert len(result.facts["DataDigest"]) == 64
    assert result.schedule.arrivals is None


def test_messages_are_made_of_earlier_texts_and_recorded_answers(tmp_path: Path) -> None:
    system = {"role": "system", "content": "be brief"}
    lines = [
        {"session": "a", "text": "one", "answer": "1", "max_tokens": 5},
        {"text": "alone"},
        {"session": "b", "messages": [system, {"role": "user", "content": "two"}], "answer": "2"},
        {"session": "a", "text": "three", "max_tokens": 6},
        {"session": "b", "text": "four"},
        {"session": "b", "messages": [{"role": "user", "content": "five"}]},
    ]
    with token_server(lambda _: GOOD) as server:
        against(server, prompts=written(tmp_path, lines), seed=3)  # which chooses no first one here

    def said(*words: str) -> list[dict[str, str]]:
        roles = ["user", "assistant"] * len(words)
        return [{"role": role, "content": one} for role, one in zip(roles, words, strict=False)]

    expected = [
        said("one"), said("one", "1", "three"), said("alone"), [system, *said("two")],
        [system, *said("two", "2", "four")], said("five"),
    ]  # fmt: skip
    _, *sent = server.asked
    assert [one["messages"] for one in sent] == expected
    assert [one.get("max_tokens") for one in sent[:2]] == [5, 6]
    assert not any({"session", "answer", "delay_ms", "text"} & one.keys() for one in sent)


def test_a_delay_is_between_two_turns(tmp_path: Path) -> None:
    """The worker that waits longer is the first to wait."""
    lines = [
        turn("slow", 0), turn("slow", 1, delay_ms=600), turn("slow", 2),
        turn("fast", 0), turn("fast", 1, delay_ms=20.5), turn("fast", 2, delay_ms=20),
    ]  # fmt: skip
    with token_server(lambda _: GOOD) as server:
        result = against(server, prompts=written(tmp_path, lines), workers=2, threads=1)
    assert result.successes == 6
    found = by_session(server)
    waits_s = {
        session: [
            server.asked_at[after] - server.ending_at[before]
            for (_, before), (_, after) in pairwise(turns)
        ]
        for session, turns in found.items()
    }
    assert waits_s["slow"][0] >= 0.6
    assert waits_s["fast"][0] >= 0.0205
    assert waits_s["fast"][1] >= 0.02
    assert found["fast"][2][1] < found["slow"][1][1]  # it was not held up
    # A wait before a turn is no part of its latency.
    assert result.latencies.max_ms < 600


def test_a_moment_between_two_turns_is_no_steady_window(tmp_path: Path) -> None:
    """The last worker's first stream ends while the other one waits, and there is no third."""
    lines = [turn("a", 0), turn("a", 1, delay_ms=400), turn("b", 0)]
    late: list[Piece] = [0.1, *GOOD]

    def answer(number: int) -> list[Piece]:
        return late if last_text(server.asked[number]) == "b 0" else GOOD

    with token_server(answer) as server:
        result = against(server, prompts=written(tmp_path, lines), workers=2)
    assert result.tokens.output_tokens_per_s > 0
    assert result.tokens.steady_s == 0


@pytest.mark.parametrize("closes", [False, True])
def test_a_server_may_close_the_connection_meanwhile(tmp_path: Path, closes: bool) -> None:
    lines = [turn("a", 0), turn("a", 1, delay_ms=50), turn("a", 2, delay_ms=50)]
    pieces: list[Piece] = [*GOOD, b""] if closes else [*GOOD]
    with token_server(lambda _: pieces) as server:
        result = against(server, prompts=written(tmp_path, lines))
    assert (result.successes, result.failures) == (3, {})
    assert result.connections.reconnects == (2 if closes else 0)


def test_after_a_failed_turn_the_others_still_go(tmp_path: Path) -> None:
    lines = [turn(session, number) for session in ("a", "b") for number in range(3)]
    cut: list[Piece] = [*GOOD[:2], b""]

    def answer(number: int) -> Sequence[Piece]:
        return cut if number and last_text(server.asked[number]) == "a 1" else GOOD

    with token_server(answer) as server:
        result = against(server, prompts=written(tmp_path, lines))
    assert {kind: one.count for kind, one in result.failures.items()} == {"stream_cut": 1}
    assert result.successes == 5
    assert [place for place, _ in by_session(server)["a"]] == [0, 1, 2]


def test_conversations_begin_again_until_the_time_is_over(tmp_path: Path) -> None:
    lines = [turn("a", number) for number in range(3)] + [turn("b", number) for number in range(2)]
    with token_server(lambda _: GOOD) as server:
        result = against(server, prompts=written(tmp_path, lines), duration_s=0.4, max_queries=400)
    assert result.successes + result.counts.abandoned >= 11
    places = [last_text(body) for body in server.asked[1:]]
    again = [last for number in range(3) for last in [f"a {number}"]] + ["b 0", "b 1"]
    assert places == (again * len(places))[: len(places)]


def test_the_first_turns_may_be_sent(tmp_path: Path) -> None:
    lines = [turn(session, number) for session in ("a", "b", "c") for number in range(3)]
    with token_server(lambda _: GOOD) as server:
        against(server, prompts=written(tmp_path, lines), workers=2, max_queries=5)
    found = by_session(server)
    assert {name: len(turns) for name, turns in found.items()} == {"a": 3, "b": 2}


def test_a_run_does_not_wait_for_a_turn_that_is_too_late(tmp_path: Path) -> None:
    lines = [turn("a", 0), turn("a", 1, delay_ms=3_600_000)]
    with token_server(lambda _: GOOD) as server:
        result = against(server, prompts=written(tmp_path, lines), duration_s=0.3)
    assert (result.successes, result.schedule.unsent, result.counts.abandoned) == (1, 0, 0)
    assert result.counts.all_requests.sent == 1


def test_a_run_is_not_over_while_a_conversation_goes_on(tmp_path: Path) -> None:
    """One worker finds no more conversations; the other has turns left."""
    lines = [turn("b", 0), *(turn("a", number) for number in range(4))]
    seen: list[Event] = []
    with token_server(lambda number: [0.4 * (number > 2), *GOOD]) as server:
        config = config_of(server, prompts=written(tmp_path, lines), workers=2)
        result = run(config, observe=seen.append)
    assert result.successes == 5
    assert not any(isinstance(one, Waiting) for one in seen)


@pytest.mark.parametrize("clients", [1, 2, 3])
def test_clients_share_whole_conversations(clients: int) -> None:
    firsts, turns, rounds = [0, 2, 3, 7, 8, 10], 10, 6
    schedule = Schedule(
        "conversations",
        first_turns=array("Q", firsts).tobytes(),
        delays_ns=array("q", [0] * turns).tobytes(),
    )
    taken = [
        [
            number
            for number, due_ns in _core.taken_requests(
                schedule, turns * rounds, Share(client, clients, 1, clients)
            )
            if due_ns == 0 and number < turns * rounds
        ]
        for client in range(clients)
    ]
    assert sorted(number for one in taken for number in one) == [*range(turns * rounds)]
    begins = set(firsts[:-1])
    for one in taken:
        for before, after in pairwise(one):
            assert after == before + 1 or after % turns in begins


WRONG: dict[str, tuple[list[object], str]] = {
    "a session of no kind": ([{"session": [1], "text": "a"}], "line 1: its session has to be a st"),
    "a null session": ([{"session": None, "text": "a"}], "line 1: its session has to be a string"),
    "a delay of the first turn": (
        [{"text": "x"}, {"session": 1, "text": "a", "delay_ms": 5}],
        "line 2: delay_ms on the first turn of its session",
    ),
    "a negative delay": (
        [turn(1, 0), turn(1, 1, delay_ms=-5)], "line 2: its delay_ms has to be a number of mill",
    ),
    "a delay of no session": ([{"text": "a", "delay_ms": 5}], "line 1: delay_ms without session"),
    "no answer to go on from": (
        [{"session": 1, "text": "a"}, {"session": 2, "text": "b"}, {"session": 1, "text": "c"}],
        "line 1: without answer, which line 3 of its session goes on from",
    ),
    "an answer of no text": ([turn(1, 0, answer=3)], "line 1: its answer has to be a string"),
    "nothing to go on from": (
        [{"session": 1, "prompt": "a", "answer": "b"}, turn(1, 1)],
        "line 1: without text or messages, which line 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_turns_are_one_line_before_anything_is_sent(
    cli: Cli, tmp_path: Path, name: str
) -> None:
    lines, words = WRONG[name]
    prompts = written(tmp_path, lines)
    with token_server(lambda _: GOOD) as server:
        done = cli("run", "--url", server.address + CHAT, "--prompts", prompts, "--model", "m")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert words in done.stderr
    assert server.asked == []


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--limit-rps", "5", "--duration", "1s"],
        ["run", "--profile", "5/s for 1s"],
        ["sweep", "--limit-rps", "0,5", "--duration", "1s", "--results-dir", "r"],
        ["search", "--over", "rate", "--slo", "p99=1s", "--duration", "1s", "--results-dir", "r"],
    ],
)
def test_conversations_have_no_schedule(cli: Cli, tmp_path: Path, words: list[str]) -> None:
    prompts = written(tmp_path, [turn(1, 0), turn(1, 1)])
    with token_server(lambda _: GOOD) as server:
        done = cli(*words, "--url", server.address + CHAT, "--prompts", prompts, "--model", "m")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "has sessions, whose turns follow the one before, not a schedule" in done.stderr
    assert server.asked == []


def test_conversations_are_in_no_mix(cli: Cli, tmp_path: Path) -> None:
    prompts = written(tmp_path, [turn(1, 0), turn(1, 1)])
    mix = tmp_path / "mix.toml"
    mix.write_text(f'[[request]]\nmodel = "m"\nprompts = "{prompts}"\n')
    done = cli(
        "run", "--url", f"http://127.0.0.1:9{CHAT}", "--mix", mix, "--duration", "1s",
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "--mix has prompts with sessions, whose turns go in order" in done.stderr


def test_conversations_that_do_not_fit_are_refused(cli: Cli, tmp_path: Path) -> None:
    prompts = written(tmp_path, [turn(1, number) for number in range(50)])
    with token_server(lambda _: GOOD) as server:
        done = cli(
            "run", "--url", server.address + CHAT, "--prompts", prompts, "--model", "m",
            "--json-memory", "5KiB", code=2,
        )  # fmt: skip
    said, wrong, end = done.stderr.split("\n")
    assert (said.startswith("m: 50 prompts are formatted"), end) == (True, ""), done.stderr
    assert "hold 10 of the 50 requests of" in wrong
    assert len(server.asked) == 1  # the trial


def test_the_summary_has_the_conversations(cli: Cli, tmp_path: Path) -> None:
    prompts = written(tmp_path, [turn(1, 0), turn("1", 0), turn(1, 1)])
    with token_server(lambda _: GOOD) as server:
        done = cli("run", "--url", server.address + CHAT, "--prompts", prompts, "--model", "m")
    assert done.returncode == 0, done.stderr
    assert "Conversations: 2, with 3 turns, in their order" in done.stdout
