"""Recorded requests: when they are due, how long they are, and what they share."""

import json
import string
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import smallruns
from commandline import Cli
from token_server import CHAT, DONE, Piece, TokenServer, delta, token_server, whole

from aibench_fast.errors import ConfigError
from aibench_fast.tensors.strings import WORDS

GOOD = whole(delta(content="a"), DONE)
BLOCK = 512


def line(ms: float, tokens: int, output: int, ids: Sequence[int]) -> dict[str, Any]:
    return {"timestamp": ms, "input_length": tokens, "output_length": output, "hash_ids": ids}


def written(folder: Path, lines: Sequence[object]) -> Path:
    file = folder / "trace.jsonl"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    return file


against = partial(smallruns.against, workers=4)


def sent(server: TokenServer) -> list[str]:
    """Return the prompts of the run, without the trial's."""
    return [one["messages"][0]["content"] for one in server.asked[1:]]


def blocks(text: str) -> list[str]:
    words = text.split(" ")
    return [" ".join(words[n : n + BLOCK]) for n in range(0, len(words), BLOCK)]


def test_lengths_and_shared_beginnings_are_as_recorded(tmp_path: Path) -> None:
    far = 2**64 - 1  # as hashes may be
    ids = [[0, 1, 2], [0, 1, 3], [0, far], [5, 1], [0, 1, 2, 6]]
    lengths = [1100, 1536, 1000, 600, 1537]
    lines = [line(20 * n, lengths[n], n + 2, ids[n]) for n in range(5)]
    with token_server(lambda _: GOOD) as server:
        against(server, trace=written(tmp_path, lines), workers=1)
    prompts = [blocks(text) for text in sent(server)]
    assert [sum(len(one.split()) for one in prompt) for prompt in prompts] == lengths
    assert [one["max_tokens"] for one in server.asked[1:]] == [2, 3, 4, 5, 6]
    texts: dict[int, set[str]] = {}
    for prompt, named in zip(prompts, ids, strict=True):
        for text, one in zip(prompt, named, strict=True):
            texts.setdefault(one, set()).add(text)
    for one, found in texts.items():
        longest = max(found, key=len)
        assert all(longest.startswith(text) for text in found), one
        others = [text for other in texts for text in texts[other] if other != one]
        assert not any(text.startswith(longest[:40]) for text in others), one
    # The trial is as long, and leaves nothing in a cache.
    trial = server.asked[0]["messages"][0]["content"]
    assert len(trial.split()) == lengths[0]
    assert not any(max(found, key=len)[:40] in trial for one, found in texts.items() if one != 6)
    # As bytes: what two prompts share by their ids, and not a word more.
    begins = [sent(server)[n] for n in (0, 1)]
    shared = len(" ".join(blocks(begins[0])[:2])) + 1
    assert begins[0][:shared] == begins[1][:shared]
    assert begins[0][shared:].split()[:4] != begins[1][shared:].split()[:4]


def test_a_seed_draws_other_words(tmp_path: Path) -> None:
    trace = written(tmp_path, [line(0, 9, 1, [0]), line(1, 8, 1, [0])])
    found = []
    for seed in (0, 0, 1):
        with token_server(lambda _: GOOD) as server:
            result = against(server, trace=trace, seed=seed, workers=1)
        found.append(sent(server))
    assert found[0] == found[1] != found[2]
    assert result.setup.data_seed == 1
    assert [len(text.split()) for text in found[2]] == [9, 8]


def test_a_tokenizer_makes_lengths_exact(tmp_path: Path) -> None:
    """Only words that are one token are drawn, so that blocks stay what they are side by side."""
    tokenizers = pytest.importorskip("tokenizers")
    letters = string.ascii_lowercase  # of which all other words are made
    parts = dict.fromkeys(["?", *WORDS[:50], *letters, *(f"##{letter}" for letter in letters)])
    known = {part: number for number, part in enumerate(parts)}
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(known, unk_token="?"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made.save(str(tmp_path / "tokenizer.json"))
    lengths = [1100, 513, 7]
    trace = written(tmp_path, [line(0, lengths[0], 1, [1, 2, 3]), line(1, lengths[1], 1, [1, 5]),
                               line(2, lengths[2], 1, [6])])  # fmt: skip
    with token_server(lambda _: GOOD) as server:
        result = against(server, trace=trace, workers=1, tokenizer=tmp_path)
    assert [len(made.encode(text)) for text in sent(server)] == lengths
    assert blocks(sent(server)[0])[0] == blocks(sent(server)[1])[0]
    assert result.facts["Tokenizer"] == str(tmp_path)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    each = {letter: number for number, letter in enumerate(alphabet)}
    letter_by_letter = tokenizers.Tokenizer(tokenizers.models.BPE(each, []))
    letter_by_letter.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
    letter_by_letter.save(str(tmp_path / "letters.json"))
    with pytest.raises(ConfigError, match="words are one token each, too few"):
        against(server, trace=trace, tokenizer=tmp_path / "letters.json")


def test_repeats_draw_other_words(cli: Cli, tmp_path: Path) -> None:
    """A server may have those of the run before in its cache."""
    trace = written(tmp_path, [line(0, 9, 1, [0]), line(1, 9, 1, [0])])
    with token_server(lambda _: GOOD) as server:
        cli(
            "run", "--url", server.address + CHAT, "--trace", trace, "--model", "m",
            "--workers", 1, "--repeats", 2, code=0,
        )  # fmt: skip
    _, *first, _, third, fourth = (one["messages"][0]["content"] for one in server.asked)
    assert first[0] == first[1] != third == fourth


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_requests_are_due_as_recorded(tmp_path: Path, speed: float) -> None:
    """The bounds are what the client says: no request ended later than this after it was due."""
    times_ms = [5000, 5000, 5100, 5300, 5301.5, 5700]
    trace = written(tmp_path, [line(ms, 4, 1, [0]) for ms in times_ms])
    with token_server(lambda _: GOOD) as server:
        result = against(server, trace=trace, speed=speed)
    assert result.successes == len(times_ms)
    worst_s = result.latencies.max_ms / 1000
    first, *others = server.asked_at[1:]
    for came, ms in zip(others, times_ms[1:], strict=True):
        due_s = (ms - times_ms[0]) / 1000 / speed
        assert due_s - worst_s <= came - first <= due_s + worst_s
    assert result.schedule.arrivals == {
        "Kind": "recorded", "Seed": None, "Profile": None, "File": str(trace), "Speed": speed,
        "PeakRps": None, "MaxLagSeconds": None, "OnLag": None,
    }  # fmt: skip
    assert result.setup.data_file == str(trace)
    assert len(result.facts["DataDigest"]) == 64


def test_runs_at_different_speeds_are_told_apart(cli: Cli, tmp_path: Path) -> None:
    trace = written(tmp_path, [line(n, 4, 1, [n]) for n in range(20)])
    with token_server(lambda _: GOOD) as server:
        for speed in (1, 2):
            done = cli(
                "run", "--url", server.address + CHAT, "--trace", trace, "--model", "m",
                "--speed", speed, "--json-out-file", f"{speed}.json", code=0,
            )  # fmt: skip
    done = cli("compare", "1.json", "2.json", code=2)
    assert f"arrivals: recorded, {trace} in A, recorded, {trace}, --speed 2 in B" in done.stderr


def test_what_the_server_has_no_time_for_is_late_unsent_or_shed(tmp_path: Path) -> None:
    """One worker and streams of 0.12 s: half of what is due in 0.54 s waits."""
    slow: list[Piece] = [0.12, *GOOD]
    trace = written(tmp_path, [line(60 * n, 4, 1, [n]) for n in range(10)])
    with token_server(lambda _: slow) as server:
        late = against(server, trace=trace, workers=1)
        cut = against(server, trace=trace, workers=1, duration_s=0.3)
        shed = against(server, trace=trace, workers=1, max_lag_s=0.09, on_lag="shed")
    assert late.successes == 10
    assert late.latencies.max_ms >= late.service_latencies.max_ms + 300
    assert late.tokens.first_tokens_due.max_ms >= 500
    assert cut.successes + cut.schedule.unsent + cut.counts.abandoned == 5
    assert cut.schedule.unsent >= 1
    assert shed.successes + shed.shed == 10
    assert shed.shed >= 2


def test_the_first_ones_of_a_trace_may_be_sent(cli: Cli, tmp_path: Path) -> None:
    trace = written(tmp_path, [line(n, 4, 1, [n]) for n in range(9)])
    with token_server(lambda _: GOOD) as server:
        done = cli(
            "run", "--url", server.address + CHAT, "--trace", trace, "--model", "m",
            "--max-queries", 5, "--burn-in", 2, "--speed", 2.5, code=0,
        )  # fmt: skip
    assert f"Arrivals: as recorded in {trace}, 2.5 times as fast; " in done.stdout
    assert len(server.asked) == 1 + 5


def test_a_trace_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    trace = written(tmp_path, [line(n, 1000, 1, [n, n + 100]) for n in range(9)])
    with (
        token_server(lambda _: GOOD) as server,
        pytest.raises(ConfigError, match="hold 3 of the 9 requests"),
    ):
        against(server, trace=trace, json_memory_bytes=20_000)


def test_a_warm_up_of_the_whole_trace_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    trace = written(tmp_path, [line(n, 9, 1, [n]) for n in range(3)])
    with (
        token_server(lambda _: GOOD) as server,
        pytest.raises(ConfigError, match="leaves nothing to measure of the 3 arrivals"),
    ):
        against(server, trace=trace, burn_in=3)
    assert server.asked == []


WRONG: dict[str, tuple[str, str]] = {
    "out of order": (
        '{"timestamp": 9, "input_length": 1, "output_length": 1, "hash_ids": [1]}\n'
        '{"timestamp": 8, "input_length": 1, "output_length": 1, "hash_ids": [1]}',
        "line 2: timestamp 8 is before 9 of the line above it",
    ),
    "not JSON": ("{", "line 1: not JSON"),
    "no object": ("3", "line 1: not a JSON object"),
    "nothing": ("", "it has no request; each line is one"),
    "without fields": ('{"timestamp": 1, "input_length": 2}', "line 1: output_length and hash_ids"),
    "a negative time": (
        '{"timestamp": -1, "input_length": 1, "output_length": 1, "hash_ids": [1]}',
        "line 1: timestamp -1: it has to be 0 ms or more",
    ),
    "a length of nothing": (
        '{"timestamp": 1, "input_length": 1, "output_length": 0, "hash_ids": [1]}',
        "line 1: output_length 0: it has to be a whole number",
    ),
    "a negative length": (
        '{"timestamp": 1, "input_length": -5, "output_length": 1, "hash_ids": [1]}',
        "line 1: input_length -5: it has to be a whole number",
    ),
    "fewer hash ids than blocks": (
        '{"timestamp": 1, "input_length": 513, "output_length": 1, "hash_ids": [1]}',
        "line 1: 1 hash_ids, where 513 tokens have 2 blocks of 512",
    ),
    "hash ids of text": (
        '{"timestamp": 1, "input_length": 5, "output_length": 1, "hash_ids": ["a"]}',
        'line 1: hash_ids ["a"]: it has to be a list of whole numbers',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_trace_is_one_line_before_anything_is_sent(
    cli: Cli, tmp_path: Path, name: str
) -> None:
    text, words = WRONG[name]
    (tmp_path / "t.jsonl").write_text(f"{text}\n")
    with token_server(lambda _: GOOD) as server:
        done = cli("run", "--url", server.address + CHAT, "--trace", "t.jsonl", "--model", "m")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"--trace t.jsonl{'' if name == 'nothing' else ', '}" in done.stderr
    assert words in done.stderr
    assert server.asked == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--limit-rps", "5"], "--limit-rps and --trace: each says when requests are due"),
        (["--profile", "5/s for 1s"], "--profile and --trace: each says when requests are due"),
        (["--arrivals-file", "a"], "--arrivals-file and --trace: each says when"),
        (["--arrivals", "poisson"], "--arrivals poisson without a rate"),
        (["--prompts", "p.jsonl"], "--prompts with --trace: each says what is sent"),
        (["--output-tokens", "5"], "--output-tokens with --trace: each of its lines has"),
        (["--speed", "0"], "--speed 0: it has to be from 0.001 to 1000"),
        (["--burn-in", "auto"], "--burn-in auto with --profile, --arrivals-file or --trace"),
        (["--batch-size", "2"], "a prompt is sent alone"),
        (["--file", "f"], "--file with"),
    ],
)
def test_options_that_contradict_a_trace_are_refused(
    cli: Cli, tmp_path: Path, options: list[str], words: str
) -> None:
    trace = written(tmp_path, [line(0, 1, 1, [0])])
    done = cli(
        "run", "--url", "http://127.0.0.1:9" + CHAT, "--trace", trace, "--model", "m", *options
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert words in done.stderr


def test_speed_without_a_trace_is_refused(cli: Cli) -> None:
    done = cli("run", "--url", f"http://127.0.0.1:9{CHAT}", "--prompts", "p", "--speed", 2)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--speed 2 without --trace: give both" in done.stderr
