"""Figures of streams: the steady window, goodput, and the parts of a run."""

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from ci import examples
from commandline import Cli, command
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from smallruns import against, config_of
from token_server import (
    CHAT,
    CHUNKED,
    DONE,
    Piece,
    TokenServer,
    delta,
    token_server,
    usage,
    whole,
)

from aibench_fast import ConfigError, Result, RunConfig, search
from aibench_fast.load.profile import parse_profile
from aibench_fast.results.fields import merged
from aibench_fast.results.stream import Tokens, stream_figures


def stream(*, first_s: float, gap_s: float, tokens: int, counted: int | None = None) -> list[Piece]:
    """The pieces of a stream, each when it is due; `counted` tokens by its usage."""
    pieces: list[Piece] = [CHUNKED, first_s]
    for number in range(tokens):
        pieces += [gap_s] if number else []
        pieces += whole(delta(content="a"))[1:-1]
    return [*pieces, *whole(*(() if counted is None else (usage(counted),)), DONE)[1:]]


def of(answer: Callable[[int], Sequence[Piece]], prompts: Path, **others: object) -> Result:
    with token_server(answer) as server:
        return against(server, prompts=prompts, **others)


def streams_of(result: Result) -> dict[str, object]:
    assert result.stream is not None
    return dict(result.stream)


WARM_UPS = {
    "none": {}, "some of the first streams": {"burn_in": 3}, "whole rounds": {"burn_in": 16},
    "before the first token": {"burn_in_s": 0.45}, "amid tokens": {"burn_in_s": 0.53},
}  # fmt: skip


@pytest.mark.parametrize("name", WARM_UPS)
def test_the_rate_of_a_closed_loop_is_the_servers_whatever_part_of_streams_is_cut(
    prompts: Path, name: str
) -> None:
    """All workers are in step: half of a stream's time has no token, the other half has all."""
    pieces = stream(first_s=0.1, gap_s=0.01, tokens=11, counted=22)
    result = of(lambda _: pieces, prompts, workers=8, duration_s=0.5, **WARM_UPS[name])
    found = streams_of(result)
    true = 22 * 8 / (result.latencies.mean_ms / 1000)
    assert 0 < result.tokens.steady_s < result.duration_s
    assert found["OutputTokensPerSecond"] == pytest.approx(true, rel=0.1)
    assert found["RequestsPerSecond"] == pytest.approx(true / 22, rel=0.1)
    assert found["OutputTokensPerSecondPerUser"] == pytest.approx(true / 8, rel=0.1)


def test_a_ramp_and_a_drain_are_in_no_rate(prompts: Path) -> None:
    """The first stream of each worker is slow, and one worker's last one."""
    slow, usual = (stream(first_s=first_s, gap_s=0.001, tokens=2) for first_s in (0.5, 0.05))
    result = of(
        lambda number: slow if number < 4 or number == 39 else usual, prompts, workers=4,
        max_queries=40,
    )  # fmt: skip
    found = streams_of(result)
    assert found["OutputTokens"] == 80
    assert found["RampSeconds"] >= 0.5
    assert found["DrainSeconds"] >= 0.3
    # Some 9 rounds of 51 ms; over the whole run it would be 80 tokens in 1.4 s.
    assert 0.2 <= found["SteadySeconds"] <= 0.8
    assert found["OutputTokensPerSecond"] >= 100


def test_a_run_of_one_stream_a_worker_has_no_steady_window(prompts: Path) -> None:
    result = of(
        lambda _: stream(first_s=0.05, gap_s=0.01, tokens=3), prompts, workers=2, max_queries=2
    )
    found = streams_of(result)
    assert (found["SteadySeconds"], found["OutputTokensPerSecondPerUser"]) == (0, None)
    assert found["OutputTokensPerSecond"] == pytest.approx(6 / result.measured_s)


def test_a_worker_without_a_connection_counts_as_one_without_tokens(prompts: Path) -> None:
    """One of two workers loses its connection for good, and most of the window has one stream."""
    pieces = stream(first_s=0.02, gap_s=0.005, tokens=5)
    server_of: list[TokenServer] = []

    def answer(number: int) -> Sequence[Piece]:
        if number < 5:
            return pieces
        if number == 5:
            server_of[0].refuse()
            return [b""]
        return pieces

    with token_server(answer) as server:
        server_of.append(server)
        result = against(server, prompts=prompts, workers=2, duration_s=1.0)
    assert result.failures.keys() == {"connection_lost"}
    of_one = 5 / (result.latencies.mean_ms / 1000)
    assert streams_of(result)["SteadySeconds"] == pytest.approx(1.0, abs=0.25)
    assert 0.9 * of_one < streams_of(result)["OutputTokensPerSecond"] < 1.4 * of_one


def test_the_rate_of_an_open_loop_is_of_when_requests_were_due(prompts: Path) -> None:
    """20 streams a second of 0.3 s: six under way from the first end to the last due time."""
    pieces = stream(first_s=0.2, gap_s=0.02, tokens=6)
    result = of(
        lambda _: pieces, prompts, workers=20, limit_rps=20.0, duration_s=1.0, burn_in_s=0.5
    )
    found = streams_of(result)
    assert found["SteadySeconds"] == pytest.approx(1.0, abs=0.05)
    assert found["RequestsPerSecond"] == pytest.approx(20, rel=0.15)
    assert found["OutputTokensPerSecond"] == pytest.approx(120, rel=0.15)
    # 6 tokens in a stream's time.
    alone = 6 / (result.tokens.first_tokens.mean_ms / 1000 + 0.1)
    assert found["OutputTokensPerSecondPerUser"] == pytest.approx(alone, rel=0.2)


FAST, SLOW = (
    stream(first_s=0.0, gap_s=0.0, tokens=2),
    stream(first_s=0.4, gap_s=0.0, tokens=2),
)
LIMITS = {
    "ttft": (["ttft=200ms"], SLOW, 6),
    "latency": (["latency=0.2s"], SLOW, 6),
    "tpot": (["tpot=200ms"], stream(first_s=0.0, gap_s=0.4, tokens=2), 6),
    "tpot of one token": (["tpot=1us"], stream(first_s=0.0, gap_s=0.0, tokens=1), None),
    "ttfa": (["ttfa=200ms"], whole(delta(reasoning="hm"), DONE), 6),
    "one of two": (["ttft=10s", "tpot=200ms"], stream(first_s=0.3, gap_s=0.4, tokens=2), 6),
    "none broken": (["ttft=10s", "tpot=10s"], SLOW, 8),
    "failures": (["latency=10s"], [CHUNKED, b""], 6),
}


@pytest.mark.parametrize("name", LIMITS)
def test_goodput_counts_requests_within_all_limits(prompts: Path, name: str) -> None:
    """Two of eight streams are unlike the others; those of one token have no time per token."""
    slo, other, good = LIMITS[name]
    pieces = FAST if good is not None else stream(first_s=0.0, gap_s=0.0, tokens=1)
    result = of(
        lambda number: other if number in (3, 6) else pieces, prompts, max_queries=8,
        slo=tuple(slo),
    )  # fmt: skip
    found = streams_of(result)
    expected = 8 if good is None else good
    assert found["GoodRequests"] == result.tokens.good_streams == expected
    assert result.good_share == expected / 8
    assert found["Goodput"] <= found["RequestsPerSecond"]
    if expected == 8:
        assert found["Goodput"] == found["RequestsPerSecond"]


def test_under_a_schedule_a_good_request_is_good_from_when_it_was_due(prompts: Path) -> None:
    """One worker and streams of 0.1 s, 20 a second: the later ones wait for longer and longer."""
    pieces = stream(first_s=0.1, gap_s=0.0, tokens=1)
    result = of(lambda _: pieces, prompts, limit_rps=20.0, max_queries=10, slo=("ttft=350ms",))
    assert result.tokens.first_tokens.max_ms < 350
    assert 0 < result.tokens.good_streams < 10
    due = result.tokens.first_tokens_due
    assert result.tokens.good_streams == due.counts_up_to([350])[0]


def test_servers_and_steps_have_figures_of_their_own(prompts: Path) -> None:
    short, long = (stream(first_s=0.01, gap_s=0.0, tokens=tokens) for tokens in (2, 5))
    with token_server(lambda _: short) as one, token_server(lambda _: long) as other:
        result = against(
            one, others=(other.address + CHAT,), prompts=prompts, workers=2,
            profile=parse_profile("20/s for 300ms, 40/s for 300ms"),
        )  # fmt: skip
    servers = [server.stream for server in result.servers]
    assert [server["OutputTokensPerRequest"]["q100"] for server in servers] == [2, 5]
    assert [server["ChunkGap"] is None for server in servers] == [False, False]
    for parts in (result.servers, result.steps):
        for name in ("output_tokens", "chunks", "steady_millitokens", "steady_stream_ns"):
            assert sum(getattr(part.tokens, name) for part in parts) == getattr(result.tokens, name)
        assert sum(part.tokens.first_tokens.count for part in parts) == result.successes
    first, second = result.steps
    assert first.stream["OutputTokensPerSecond"] == first.tokens.output_tokens / 0.3
    assert second.tokens.output_tokens > first.tokens.output_tokens


counts = st.integers(0, 10**9)


@st.composite
def clients(draw: st.DrawFn) -> Tokens:
    return Tokens(
        output_tokens=draw(counts), good_streams=draw(counts), steady_millitokens=draw(counts),
        steady_millistreams=draw(counts), steady_stream_ns=draw(counts),
        steady_s=draw(st.floats(0.01, 1e5)), slo={"ttft": 200.0},
    )  # fmt: skip


@settings(deadline=None, max_examples=examples(50))
@given(st.lists(clients(), min_size=1, max_size=5))
def test_the_rates_of_several_clients_add_up(several: list[Tokens]) -> None:
    assume(any(one.steady_millitokens for one in several))
    whole = merged(several)
    rates = [one.output_tokens_per_s for one in several]
    assert whole.output_tokens_per_s == pytest.approx(sum(rates))
    assert whole.output_tokens == sum(one.output_tokens for one in several)
    assert whole.good_streams == sum(one.good_streams for one in several)
    users = [one.output_tokens_per_s_and_user for one in several if one.steady_stream_ns]
    if len(users) == len(several):
        # Not rounded sums of a common ratio: it lies between the clients' own.
        assert min(users) * 0.999 <= whole.output_tokens_per_s_and_user <= max(users) * 1.001


def test_a_journal_and_a_saved_result_have_the_same_figures(prompts: Path) -> None:
    pieces = stream(first_s=0.0, gap_s=0.001, tokens=3, counted=6)
    result = of(lambda _: pieces, prompts, max_queries=20, workers=2, slo=("tpot=1s",))
    again = Result.from_json(result.to_json(exact=True))
    assert again.stream == result.stream
    assert [one.stream for one in again.servers] == [one.stream for one in result.servers]
    saved = result.to_json()["Stream"]
    assert saved == dict(streams_of(result))
    assert stream_figures(Tokens(), result.latencies, None) is None
    assert saved["Slo"] == {"tpot": 1000}


def test_expectations_know_the_figures(cli: Cli, prompts: Path) -> None:
    with token_server(lambda _: stream(first_s=0.02, gap_s=0.002, tokens=4)) as server:
        done = cli(
            "run", "--url", server.address + CHAT, "--prompts", prompts, "--model", "m",
            "--max-queries", 10, "--slo", "ttft=10s", "--slo", "latency=10s",
            "--expect", "goodput>1", "--expect", "tokens_per_user>1", "--expect", "good>=100%",
            "--expect", "tokens<1", "--expect", "ttfa.p50<1us", "--expect", "out.max<=4",
            "--expect", "out.p50>4", "--expect", "in.mean<1", "--expect", "requests>0", code=1,
        )  # fmt: skip
    for words in (
        "good requests/s, held", "output tokens of a user/s, held", "Expected good>=100%: 100.000%",
        "output tokens/s, broken", "Expected ttfa.p50<1us: ", "Goodput: ",
        "Expected out.max<=4: 4.0 tokens, held", "Expected out.p50>4: 4.0 tokens, broken",
        "Expected in.mean<1: not known, broken", "requests/s, held", "Steady for ",
    ):  # fmt: skip
        assert words in done.stdout, done.stdout


def test_a_search_tells_limits_of_requests_from_targets(prompts: Path, tmp_path: Path) -> None:
    pieces = stream(first_s=0.01, gap_s=0.0, tokens=2)
    with token_server(lambda _: pieces) as server:
        config = config_of(server, prompts=prompts, duration_s=0.2)
        slo = ["ttft=10s", "good=99%", "goodput=1"]
        found = search(config, slo, over="workers", highest=2, folder=tmp_path / "search")
        held = found.best
        none = search(
            config, ["ttft=1us", "good=99%"], over="workers", highest=2, folder=tmp_path / "none"
        )
    assert found.value == 2
    assert held.good_share == 1
    assert found.search.slo == ["good>=99%", "goodput>=1"]
    assert none.value is None


def test_a_killed_run_keeps_the_figures_of_its_last_period(
    cli: Cli, prompts: Path, tmp_path: Path
) -> None:
    """Streams under way are in no figure, and neither is their time."""
    pieces = stream(first_s=0.05, gap_s=0.01, tokens=6, counted=12)
    with token_server(lambda _: pieces) as server:
        words = command(
            "run", "--url", server.address + CHAT, "--prompts", prompts, "--model", "m",
            "--workers", 4, "--duration", "10m", "--reporting-period", "200ms", "--slo",
            "ttft=10s", "--json-out-file", "r.json",
        )  # fmt: skip
        with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
            for _ in range(6):
                process.stdout.readline()
            process.kill()
    done = cli("recover", "r.json.journal")
    assert (tmp_path / "r.json").exists(), done.stderr
    found = json.loads((tmp_path / "r.json").read_text())
    figures = found["Stream"]
    assert found["Incomplete"]
    assert figures["OutputTokens"] == 12 * found["Successes"] > 0
    assert figures["GoodRequests"] == found["Successes"]
    assert figures["SteadySeconds"] > 0
    true = 12 * 4 / (figures["EndToEnd"]["mean"] / 1000)
    assert figures["OutputTokensPerSecond"] == pytest.approx(true, rel=0.15)
    assert figures["Histograms"].keys() >= {"TimeToFirstToken", "ChunkGap", "EndToEnd"}


def test_kinds_of_a_mix_have_figures_of_their_own(cli: Cli, tmp_path: Path) -> None:
    """The server sends as many tokens as a request asks for."""
    (tmp_path / "mix.toml").write_text(
        '[[request]]\nmodel = "small"\nprompt-tokens = 3\noutput-tokens = 2\nweight = 3\n'
        '[[request]]\nmodel = "large"\nprompt-tokens = 9\noutput-tokens = 7\n'
    )
    servers: list[TokenServer] = []

    def answer(number: int) -> Sequence[Piece]:
        tokens = servers[0].asked[number]["max_tokens"]
        return stream(first_s=0.0, gap_s=0.0, tokens=tokens, counted=10 * tokens)

    with token_server(answer) as server:
        servers.append(server)
        cli(
            "run", "--url", server.address + CHAT, "--mix", "mix.toml", "--max-queries", 60,
            "--workers", 2, "--slo", "tpot=10s", "--json-out-file", "r.json", code=0,
        )  # fmt: skip
    found = json.loads((tmp_path / "r.json").read_text())
    streams = {kind["Model"]: kind["Stream"] for kind in found["Kinds"]}
    for model, tokens in (("small", 20), ("large", 70)):
        lengths = streams[model]["OutputTokensPerRequest"]
        assert (lengths["q0"], lengths["q100"]) == (tokens, tokens)
        assert streams[model]["TokensPerChunk"] == 10
    assert streams["small"]["GoodRequests"] > streams["large"]["GoodRequests"] > 0
    for name in ("OutputTokens", "GoodRequests"):
        assert sum(one[name] for one in streams.values()) == found["Stream"][name]
    for name in ("OutputTokensPerSecond", "RequestsPerSecond", "Goodput"):
        whole_rate = found["Stream"][name]
        assert sum(one[name] for one in streams.values()) == pytest.approx(whole_rate)


def refused(cli: Cli, command: str, prompts: Path, *options: object) -> str:
    """Return the one line that refuses a command before its server is asked for anything."""
    with token_server(lambda _: whole(delta(content="a"), DONE)) as server:
        done = cli(
            command, "--url", server.address + CHAT, "--prompts", prompts, "--model", "m", *options
        )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert server.asked == []
    return done.stderr


IMPOSSIBLE = {
    "goodput": ("run", ["--expect", "goodput>5"], "without limits of each request: give --slo too"),
    "good": ("run", ["--expect", "good>99%"], "without limits of each request: give --slo too"),
    "a target of goodput": (
        "search", ["--slo", "goodput=5"], "--slo 'goodput>=5' without limits of each request",
    ),
    "limits without a target": (
        "search", ["--slo", "ttft=1s"], "such as good=99%, beside the limits of each request",
    ),
    "a percentile": (
        "run", ["--slo", "ttft.p99=200ms"],
        "--slo 'ttft.p99=200ms': give a limit of each request: ttft, ttfa, tpot, latency",
    ),
    "no time": ("run", ["--slo", "ttft=fast"], "--slo 'ttft=fast': 'fast' is not a duration"),
    "nothing": ("run", ["--slo", "ttft=0ms"], "above 0"),
    "two of one": ("run", ["--slo", "tpot=1s", "--slo", "tpot=3s"], "tpot has a limit already"),
}  # fmt: skip


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_a_run_cannot_have_is_refused_before_anything_is_sent(
    cli: Cli, prompts: Path, name: str
) -> None:
    command, options, words = IMPOSSIBLE[name]
    assert words in refused(cli, command, prompts, *options)


@pytest.mark.parametrize("words", ["ttft.p99<1s", "tokens>5", "good>99%"])
def test_tensors_have_no_figures_of_streams(cli: Cli, words: str) -> None:
    done = cli("run", "--shape", 16, "--port", 1, "--expect", words, code=2, errors=1)
    assert f"--expect '{words}': only streams of tokens have it" in done.stderr


def test_limits_are_of_streams_of_tokens() -> None:
    with pytest.raises(ConfigError, match="slo"):
        RunConfig(file=None, shape=(16,), slo=("ttft=1s",))
