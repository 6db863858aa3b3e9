"""Prompts for OpenAI's API: read from a file or drawn, made into requests, refused if wrong."""

import json
import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import smallruns
from commandline import Cli, on_a_terminal
from hypothesis import given
from hypothesis import strategies as st
from smallruns import config_of
from token_server import CHAT, DONE, delta, event, token_server, usage, whole

from aibench_fast import RunConfig, read_results, repeat, run, search, sweep
from aibench_fast.errors import ConfigError
from aibench_fast.protocols.openai.request import body_of
from aibench_fast.protocols.openai.settings import Api
from aibench_fast.report.content import facts as report_facts
from aibench_fast.results.cells import mixed
from aibench_fast.results.events import Drawing, Event, Formatting
from aibench_fast.tensors import prompts
from aibench_fast.tensors.strings import WORDS
from aibench_fast.tensortype import split_strings

PLAIN = "/v1/completions"
STREAM = whole(delta(content="a"), usage(1), DONE)


asked_by = partial(smallruns.against, max_queries=4)


def sent(path: str = CHAT, **settings: Any) -> list[dict[str, Any]]:
    """Return the bodies of a run, without the one on trial."""
    with token_server(lambda _: STREAM) as server:
        result = asked_by(server, url=server.address + path, **settings)
    assert (result.successes, result.failures) == (settings.get("max_queries", 4), {})
    return server.asked[1:]


def texts(bodies: list[dict[str, Any]]) -> list[str]:
    return [one["messages"][0]["content"] for one in bodies]


def test_requests_are_made_of_prompts(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(
        '{"text": "one"}\n\n{"prompt": "two", "max_tokens": 5, "id": 7}\n'
        '{"messages": [{"role": "system", "content": "three"}]}\n'
    )
    (tmp_path / "extra.json").write_text('{"temperature": 0, "stream_options": null}')
    with token_server(lambda _: STREAM) as server:
        done = cli(
            "run", "--url", server.address + CHAT, "--prompts", "p.jsonl", "--model", "llama",
            "--output-tokens", 9, "--extra-body", "extra.json", code=0,
        )  # fmt: skip
    assert "Prompts: 3, formatted before the run, " in done.stdout
    shared = {"model": "llama", "stream": True, "stream_options": None, "temperature": 0}
    messages = [
        [{"role": "user", "content": "one"}],
        [{"role": "user", "content": "two"}],
        [{"role": "system", "content": "three"}],
    ]
    assert server.asked[1:] == [
        {**shared, "messages": given, "max_tokens": most}
        for given, most in zip(messages, (9, 5, 9), strict=True)
    ]


def test_plain_completions_have_text(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": [1, 2]}\n')
    pieces = [event({"choices": [{"text": text, "finish_reason": None}]}) for text in ("", "a")]
    with token_server(lambda _: whole(*pieces, DONE)) as server:
        result = asked_by(server, url=server.address + PLAIN, prompts=tmp_path / "p.jsonl")
    assert server.asked[0]["prompt"] == [1, 2]
    assert "messages" not in server.asked[0]
    assert (result.tokens.output_tokens, result.tokens.events) == (4, 12)


@pytest.mark.parametrize("api", ["openai-chat", "openai-completions"])
def test_a_path_of_ones_own(cli: Cli, api: str) -> None:
    with token_server(lambda _: STREAM) as server:
        cli(
            "run", "--url", f"{server.address}/generate?key=1", "--api", api, "--model", "m",
            "--prompt-tokens", 3, "--max-queries", 2, code=0,
        )  # fmt: skip
    assert server.heads[1].startswith(b"POST /generate?key=1 HTTP/1.1")
    assert ("messages" in server.asked[1], "prompt" in server.asked[1]) == (
        api == "openai-chat", api != "openai-chat",
    )  # fmt: skip


def test_an_api_as_python_names_it() -> None:
    bodies = sent(PLAIN, prompt_tokens=3, api="openai-completions")
    assert all("prompt" in one for one in bodies)
    with pytest.raises(ConfigError, match="`api` chat: it has to be openai-chat or openai-com"):
        RunConfig(file=None, url="http://h/", model="m", prompt_tokens=3, api="chat")  # type: ignore[arg-type]


def test_drawn_prompts_are_those_of_a_seed() -> None:
    bodies = sent(prompt_tokens=(5, 9), output_tokens=(2, 3), max_queries=200, seed=7)
    assert bodies == sent(prompt_tokens=(5, 9), output_tokens=(2, 3), max_queries=200, seed=7)
    lengths = [len(one.split()) for one in texts(bodies)]
    assert set(lengths) == {5, 6, 7, 8, 9}
    assert {one["max_tokens"] for one in bodies} == {2, 3}
    others = texts(sent(prompt_tokens=(5, 9), max_queries=200, seed=8))
    assert not set(texts(bodies)) & set(others)


def test_no_drawn_prompt_begins_as_another_and_the_trial_has_its_own() -> None:
    with token_server(lambda _: STREAM) as server:
        asked_by(server, prompt_tokens=40, max_queries=300)
    beginnings = {tuple(one.split()[:2]) for one in texts(server.asked)}
    assert len(server.asked) == len(beginnings) == 301
    assert all("max_tokens" not in one for one in server.asked)


def test_progress_of_drawing_comes_before_that_of_formatting() -> None:
    events: list[Event] = []
    with token_server(lambda _: STREAM) as server:
        settings = {"prompt_tokens": 40, "model": "m", "max_queries": 500}
        run(RunConfig(file=None, url=server.address + CHAT, **settings), events.append)  # type: ignore[arg-type]
    drawn = [one for one in events if isinstance(one, Drawing)]
    assert [(one.done, one.total) for one in drawn] == [(place, 501) for place in range(0, 501, 6)]
    assert events.index(drawn[-1]) < next(
        place for place, one in enumerate(events) if isinstance(one, Formatting)
    )


def test_drawing_shows_how_far_it_is_on_a_terminal_alone(cli: Cli) -> None:
    with token_server(lambda _: STREAM) as server:
        words = [
            "run", "--url", server.address + CHAT, "--model", "m", "--prompt-tokens", 5,
            "--max-queries", 1,
        ]  # fmt: skip
        shown = on_a_terminal(*words)
        piped = cli(*words)
    assert "drawing prompts: 50%" in re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "drawing" not in piped.stdout + piped.stderr


def test_prompts_are_drawn_in_bounded_memory() -> None:
    assert prompts.most_drawn((512, 512)) == prompts.MAX_DRAWN
    assert prompts.most_drawn((1, 1_000_000)) == 22
    made = prompts.draw(prompts.MAX_DRAWN, (2, 2), None, None, 1)
    assert len({made.read(n, 1) for n in range(len(made))}) == prompts.MAX_DRAWN


def test_a_run_of_more_requests_sends_the_drawn_prompts_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prompts, "MAX_DRAWN", 3)
    with token_server(lambda _: STREAM) as server:
        result = asked_by(server, prompt_tokens=8, max_queries=7)
    _, *asked = texts(server.asked)
    assert asked[:3] == asked[3:6]
    assert len(set(asked)) == 3
    assert result.facts["PromptTokens"] == "8"
    assert result.facts["StringTensors"] == 3
    assert (
        "3 drawn prompts were sent again and again: a server that caches prompts had seen th"
        in (" ".join(one.message for one in result.warnings))
    )


def test_each_run_of_a_study_draws_other_prompts(tmp_path: Path) -> None:
    """Or a server that caches prompts answers the later runs faster."""
    with token_server(lambda _: STREAM) as server:
        config = config_of(server, prompt_tokens=9, max_queries=5, seed=2)
        made = repeat(config, 3, file=tmp_path / "r.json")
        repeated = texts(server.asked)
        repeat(config, 3)
        assert texts(server.asked) == 2 * repeated
        sweep(config, {"workers": [1, 2]}, tmp_path / "swept", runs=2)
        swept = texts(server.asked[2 * len(repeated) :])
    assert len(set(repeated)) == len(repeated) == 18
    assert len(set(swept)) == len(swept) == 24
    assert made.results[0].setup.data_seed == 2
    records = read_results([tmp_path / "r-1.json", tmp_path / "r-2.json"])
    assert "DataDigest" not in mixed(records)


def test_a_search_draws_other_prompts_in_each_step(tmp_path: Path) -> None:
    with token_server(lambda _: STREAM) as server:
        config = config_of(server, prompt_tokens=9, max_queries=20)
        search(config, ["p50<=10s"], over="workers", highest=2, folder=tmp_path / "search")
    asked = texts(server.asked)
    assert len(asked) >= 42
    assert len(set(asked)) == len(asked)


def tokenizer_of_words(file: Path, pieces: bool) -> Path:
    """Write a tokenizer with special tokens, limited to 4; `pieces`: of letters, and of `th`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    known = {"<s>": 0, "?": 1, **{one: place + 2 for place, one in enumerate(WORDS)}}
    made = Tokenizer(models.WordLevel(known, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if pieces:
        letters = {one: place for place, one in enumerate(pre_tokenizers.ByteLevel.alphabet())}
        made = Tokenizer(models.BPE({**letters, "th": 256, "<s>": 257}, [("t", "h")]))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 257 if pieces else 0)]
    )
    made.enable_truncation(4)
    made.enable_padding(length=64)
    made.save(str(file))
    return file


@pytest.mark.parametrize("pieces", [False, True])
def test_a_tokenizer_makes_lengths_exact(tmp_path: Path, pieces: bool) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    file = tokenizer_of_words(tmp_path / "tokenizer.json", pieces)
    bodies = sent(prompt_tokens=(10, 80), tokenizer=tmp_path, max_queries=700)
    reader = tokenizers.Tokenizer.from_file(str(file))
    reader.no_truncation()
    reader.no_padding()
    lengths = [len(one.ids) for one in reader.encode_batch(texts(bodies), add_special_tokens=False)]
    assert set(lengths) == set(range(10, 81))
    exact = prompts.draw(20, (33, 33), None, file, 3)
    found = [json.loads(split_strings(exact.read(n, 1))[0])["text"] for n in range(20)]
    assert {len(reader.encode(one, add_special_tokens=False)) for one in found} == {33}


def test_the_result_says_what_was_drawn(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "Bearer hush")
    with token_server(lambda _: STREAM) as server:
        done = cli(
            "run", "--url", server.address + CHAT, "--model", "m", "--prompt-tokens", "5-9",
            "--output-tokens", "4", "--seed", 3, "--max-queries", 6, "--json-out-file", "r.json",
            "--header", "Authorization: env:KEY", code=0,
        )  # fmt: skip
    assert (
        "Prompts: 6 of about 5-9 tokens, drawn from seed 3, formatted before the run, "
        in done.stdout
    )
    text = (tmp_path / "r.json").read_text()
    assert "hush" not in text + done.stdout + done.stderr
    assert all(b"Authorization: Bearer hush" in head for head in server.heads)
    saved = json.loads(text)
    assert (saved["DataSeed"], saved["DataFile"]) == (3, None)
    facts = saved["Facts"]
    assert (facts["PromptTokens"], facts["MaxTokens"], facts["StringsAre"]) == (
        "5-9", "4", "prompts",
    )  # fmt: skip
    assert len(facts["DataDigest"]) == 64


LINES = {
    "no prompt": (
        '{"words": 1}',
        'line 1: {"words": 1} has no prompt; give one of messages, pro',
    ),
    "no object": ("[1]", "--prompts p.jsonl, line 1: [1] has no prompt"),
    "two": ('{"text": "a", "prompt": "b"}', "has prompt and text; give one of mess"),
    "not JSON": ("{", "--prompts p.jsonl, line 1: { is not JSON"),
    "no messages": ('{"messages": "hello"}', "has messages that are not a list of objects"),
    "a number": ('{"text": 5}', "has a text that is not a string"),
    "tokens in a chat": ('{"prompt": [1]}', "has a prompt that is not a string"),
    "no tokens": ('{"text": "a", "max_tokens": 0}', "has max_tokens that are not a whole number"),
    "true": ('{"text": "a", "max_tokens": true}', "has max_tokens that are not a whole number"),
    "nothing": ("", "has no lines; each line is a request"),
    "half a character": ('{"text": "\\ud800"}', "has half a character, a surrogate alone"),
    "no number": ('{"messages": [{"role": NaN}]}', "NaN is not a number of JSON"),
    "a long line": (f'{{"words": "{"x" * 999}"}}', "xxx... has no prompt"),
}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KEYS = st.sampled_from(["text", "prompt", "messages", "max_tokens", "id"])


@given(
    st.binary() | st.dictionaries(KEYS, JSON, max_size=3).map(lambda one: json.dumps(one).encode()),
    st.sampled_from([*Api]),
)
def test_any_line_becomes_a_body_or_is_refused(line: bytes, api: Api) -> None:
    try:
        body = json.loads(body_of(line, api=api, model="m", output_tokens=7, extra={"n": 1}))
    except ConfigError:
        return
    prompt = body["messages"] if api == Api.CHAT else body["prompt"]
    assert isinstance(prompt, str | list)
    assert body["stream"] is True
    assert type(body["max_tokens"]) is int
    assert body["max_tokens"] >= 1


def refused(cli: Cli, *options: object, path: str = CHAT) -> str:
    """Return the line by which a run is refused before its clock starts."""
    with token_server(lambda _: STREAM) as server:
        done = cli("run", "--url", server.address + path, "--duration", "1s", *options)
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, ""), done.stderr
    assert server.asked == []
    return done.stderr


@pytest.mark.parametrize("name", LINES)
def test_a_line_that_is_not_a_prompt(cli: Cli, tmp_path: Path, name: str) -> None:
    line, words = LINES[name]
    (tmp_path / "p.jsonl").write_text(f"{line}\n")
    assert words in refused(cli, "--prompts", "p.jsonl", "--model", "m")


def test_a_later_line_that_is_not_a_prompt(cli: Cli, tmp_path: Path) -> None:
    """It is named as an editor counts it, and found even if the run would not come to it."""
    (tmp_path / "p.jsonl").write_text('{"text": "a"}\n\n{"text": 5}\n')
    words = refused(cli, "--prompts", "p.jsonl", "--model", "m", "--max-queries", "1")
    assert '--prompts p.jsonl, line 3: {"text": 5} has a text' in words


def test_a_turn_that_is_not_a_prompt(cli: Cli, tmp_path: Path) -> None:
    """Its line is that of the file, where turns of conversations may be mixed."""
    lines = [
        '{"session": "a", "text": "1", "answer": "2"}', '{"session": "b", "text": "3"}',
        '{"session": "a", "text": "5", "max_tokens": 0}',
    ]  # fmt: skip
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    words = refused(cli, "--prompts", "p.jsonl", "--model", "m")
    assert "--prompts p.jsonl, line 3: " in words
    assert "has max_tokens that are not a whole number" in words


def test_a_file_of_a_folder_of_prompts_that_is_none(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for number, text in enumerate(('{"text": "a"}', '{"words": "b"}')):
        (tmp_path / "folder" / f"{number}.json").write_text(text)
    (tmp_path / "mix.toml").write_text('[[request]]\nmodel = "m"\nprompts = "folder"\n')
    assert '{"words": "b"}' in refused(cli, "--mix", "mix.toml", "--duration", "1s")


def test_a_prompt_of_a_mix_that_is_none(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"words": "b"}\n')
    (tmp_path / "mix.toml").write_text(
        "".join(f'[[request]]\nmodel = "m"\nprompts = "{n}.jsonl"\n' for n in ("good", "bad"))
    )
    assert "bad.jsonl, line 2: " in refused(cli, "--mix", "mix.toml")


FILES = {
    "prompts": {"text": "a"},
    "conversations": {"text": "a", "session": 1, "answer": "b"},
    "trace": {"timestamp": 0, "input_length": 9, "output_length": 1, "hash_ids": [1]},
}


@pytest.mark.parametrize("form", FILES)
def test_a_file_is_read_once_before_a_run(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """A long one takes seconds to parse. It is opened again for its digest, and after a change."""
    file = tmp_path / "p.jsonl"
    opened, usual = [], Path.open

    def noted(path: Path, *arguments: Any, **named: Any) -> Any:
        opened.append(path.name)
        return usual(path, *arguments, **named)

    option = "--trace" if form == "trace" else "--prompts"
    with token_server(lambda _: STREAM) as server:
        for lines in (1, 2):
            file.write_text(f"{json.dumps(FILES[form])}\n" * lines)
            with monkeypatch.context() as patched:
                patched.setattr(Path, "open", noted)
                done = cli("run", "--url", server.address + CHAT, option, file, "--model", "m")
            assert done.returncode == 0, done.stderr
            assert opened.count(file.name) == 2 * lines
    assert len(server.asked) == 5  # with two on trial


def test_messages_for_plain_completions(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"messages": []}\n')
    words = refused(cli, "--prompts", "p.jsonl", "--model", "m", path=PLAIN)
    assert "has messages, which are for openai-chat alone" in words


OPTIONS: dict[str, tuple[list[object], str]] = {
    "a text file": (["--prompts", "p.txt"], "p.txt: write them as lines of a .jsonl file"),
    "no prompts": ([], "without prompts: give --prompts or --prompt-tokens"),
    "both": (["--prompts", "p.jsonl", "--prompt-tokens", 5], "each says what is sent; give one"),
    "a range of a file": (
        ["--prompts", "p.jsonl", "--output-tokens", "5-9"], "a range is for drawn prompts",
    ),
    "a tokenizer of a file": (
        ["--prompts", "p.jsonl", "--tokenizer", "t.json"], "it is for drawn prompts",
    ),
    "upside down": (["--prompt-tokens", "9-5"], "--prompt-tokens 9-5: it has to be a number from"),
    "none": (["--prompt-tokens", "0"], "--prompt-tokens 0: it has to be a number from 1"),
    "too many": (["--prompt-tokens", "99999999999"], "it has to be a number from 1 to 10000000"),
    "an own method": (["--prompt-tokens", "5", "--success", "200"], "requests are made from prom"),
    "tensors": (["--prompt-tokens", "5", "--shape", "16"], "prompts are sent there"),
    "batches": (["--prompt-tokens", "5", "--batch-size", "2"], "a prompt is sent alone"),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_options_that_do_not_go_together(cli: Cli, tmp_path: Path, name: str) -> None:
    options, words = OPTIONS[name]
    (tmp_path / "p.jsonl").write_text('{"text": "a"}\n')
    assert words in refused(cli, "--model", "m", *options)


def test_a_length_that_is_not_a_number(cli: Cli) -> None:
    done = cli("run", "--url", "http://localhost:1" + CHAT, "--prompt-tokens", "512:64", code=2)
    assert "write a number such as 512, or a range such as 256-768" in done.stderr


def test_a_path_of_neither(cli: Cli) -> None:
    words = refused(cli, "--model", "m", "--prompt-tokens", 5, path="/v1/embeddings")
    assert (
        "write a URL that ends with /v1/chat/completions or /v1/completions, or give --a" in words
    )


def test_an_end_is_needed_for_drawn_prompts(cli: Cli) -> None:
    done = cli("run", "--url", "http://localhost:1" + CHAT, "--model", "m", "--prompt-tokens", 5)
    assert done.returncode == 2
    assert "--prompt-tokens needs --duration or --max-queries" in done.stderr


EXTRA = {
    "stream": ('{"stream": false}', "e.json has stream, which each request has already"),
    "model": ('{"model": "b"}', "has model, which each"),
    "no object": ("[1]", "it has to be a JSON object"),
    "not JSON": ("{", "--extra-body e.json: { is not JSON: "),
}


@pytest.mark.parametrize("name", EXTRA)
def test_further_fields_that_cannot_be(cli: Cli, tmp_path: Path, name: str) -> None:
    text, words = EXTRA[name]
    (tmp_path / "e.json").write_text(text)
    options = ("--model", "m", "--prompt-tokens", 5, "--extra-body", "e.json")
    assert words in refused(cli, *options)


@pytest.mark.parametrize("text", [None, "{}", "not JSON"])
def test_a_tokenizer_that_cannot_be_read(cli: Cli, tmp_path: Path, text: str | None) -> None:
    pytest.importorskip("tokenizers")
    if text is not None:
        (tmp_path / "t.json").write_text(text)
    options = ("--model", "m", "--prompt-tokens", 5, "--tokenizer", "t.json")
    assert "cannot read --tokenizer t.json: " in refused(cli, *options)


def test_the_only_model_is_found(cli: Cli, tmp_path: Path) -> None:
    with token_server(lambda _: STREAM, models=["org/llama"]) as server:
        cli(
            "run", "--url", server.address + CHAT, "--prompt-tokens", 5, "--max-queries", 2,
            "--json-out-file", "r.json", code=0,
        )  # fmt: skip
    assert {one["model"] for one in server.asked} == {"org/llama"}
    assert json.loads((tmp_path / "r.json").read_text())["Model"] == "org/llama"


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (["a", "b"], "--model is missing: http://127.0.0.1:{} has a, b; name one"),
        (
            [],
            "--model is missing, and http://127.0.0.1:{}/v1/models lists none (HTTP 404): name the "
            "one to run",
        ),
    ],
)
def test_a_model_has_to_be_named(cli: Cli, models: list[str], words: str) -> None:
    with token_server(lambda _: STREAM, models=models) as server:
        done = cli("run", "--url", server.address + CHAT, "--prompt-tokens", 5, "--max-queries", 2)
    line = f"aibench-fast: {words.format(server.address.rpartition(':')[2])}\n"
    assert (done.returncode, done.stderr) == (2, line)
    assert server.asked == []


LISTS = ["[]", "{}", "not JSON", '{"data": 5}', '{"data": [{"id": null}]}', '{"data": ["a"]}']


@pytest.mark.parametrize("body", LISTS)
def test_a_list_that_names_no_model(cli: Cli, body: str) -> None:
    with stranger(answer(body.encode(), "application/json", "200 OK")) as port:
        done = cli(
            "run", "--url", f"http://127.0.0.1:{port}{CHAT}", "--prompt-tokens", 5,
            "--duration", "1s", code=2,
        )  # fmt: skip
    assert "lists none (HTTP 200): name the one to run" in done.stderr


@pytest.mark.parametrize("models", [["b"], ["a", "b"], [str(n) for n in range(12)]])
def test_a_model_that_the_server_does_not_have(cli: Cli, models: list[str]) -> None:
    body = b'{"error": {"message": "no such model: llama"}}'
    head = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with token_server(lambda _: [head % len(body) + body], models=models) as server:
        done = cli(
            "run", "--url", server.address + CHAT, "--model", "llama", "--prompt-tokens", 5,
            "--duration", "1s", code=3, errors=1,
        )  # fmt: skip
    named = ", ".join(models[:10]) + (" and 2 more" if len(models) > 10 else "")
    assert f"HTTP 404: no such model: llama; it has the models {named}\n" in done.stderr


def answer(body: bytes, kind: str, status: str = "404 Not Found") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextmanager
def stranger(reply: bytes) -> Iterator[int]:
    """Listen at a port, answer anything alike, and hang up."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(100_000)
            self.request.sendall(reply)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield server.server_address[1]
        server.shutdown()


STRANGERS = {
    "a web page": (
        answer(b"<html><title>Router</title></html>", "text/html", "200 OK"),
        "the reply is text/html, not text/event-stream",
    ),
    "another server's 404": (
        answer(b"nothing here", "text/plain"), "nothing here: is it a server of OpenAI's API?",
    ),
    "an answer that is not a stream": (
        answer(b'{"choices": [{"text": "a"}]}', "application/json", "200 OK"),
        "the reply is application/json, not text/event-stream",
    ),
    "RedisAI": (b"-ERR unknown command\r\n", "no HTTP"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP"),
}  # fmt: skip


@pytest.mark.parametrize("name", ["RedisAI", "SSH"])
def test_something_else_at_the_address_without_a_model(cli: Cli, name: str) -> None:
    reply, words = STRANGERS[name]
    with stranger(reply) as port:
        done = cli(
            "run", "--url", f"http://127.0.0.1:{port}{CHAT}", "--prompt-tokens", 5,
            "--duration", "1s", code=3, errors=1,
        )  # fmt: skip
    assert f"answered GET /v1/models with {words}" in done.stderr


@pytest.mark.parametrize("name", STRANGERS)
def test_something_else_at_the_address(cli: Cli, name: str) -> None:
    reply, words = STRANGERS[name]
    with stranger(reply) as port:
        done = cli(
            "run", "--url", f"http://127.0.0.1:{port}{CHAT}", "--model", "m", "--prompt-tokens", 5,
            "--duration", "1s", code=3, errors=1,
        )  # fmt: skip
    assert words in done.stderr


@pytest.mark.parametrize("model", ["m", ""])
def test_tls_at_a_plain_port(cli: Cli, model: str) -> None:
    with stranger(answer(b"", "text/plain", "400 Bad Request")) as port:
        done = cli(
            "run", "--url", f"https://127.0.0.1:{port}{CHAT}", "--prompt-tokens", 5,
            "--duration", "1s", "--model", model, code=3, errors=1,
        )  # fmt: skip
    assert "the server does not speak TLS; connect without it, or correct the port" in done.stderr


@pytest.mark.parametrize("model", ["m", ""])
def test_nothing_at_the_address(cli: Cli, model: str) -> None:
    with token_server(lambda _: STREAM) as server:
        pass
    done = cli(
        "run", "--url", server.address + CHAT, "--prompt-tokens", 5, "--duration", "1s",
        "--model", model, code=3, errors=1,
    )  # fmt: skip
    assert f"no server answers at {server.address}: connection refused" in done.stderr


MIX = """
[[request]]
model = "small"
prompt-tokens = "5-6"
output-tokens = 2
weight = 3

[[request]]
model = "large"
prompts = "p.jsonl"
"""


def test_a_mix_of_prompts(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"text": "long"}\n')
    (tmp_path / "mix.toml").write_text(MIX)
    with token_server(lambda _: STREAM) as server:
        done = cli(
            "run", "--url", server.address + CHAT, "--mix", "mix.toml", "--max-queries", 80,
            "--output-tokens", 7, "--json-out-file", "r.json", code=0,
        )  # fmt: skip
    small, large = (
        [one for one in server.asked[2:] if one["model"] == model] for model in ("small", "large")
    )
    assert len(small) + len(large) == 80
    assert len(small) > len(large) > 0
    assert {len(one.split()) for one in texts(small)} == {5, 6}
    assert len(set(texts(small))) == len(small)
    assert {one["max_tokens"] for one in small} == {2}
    assert set(texts(large)) == {"long"}
    assert {one["max_tokens"] for one in large} == {7}
    kinds = json.loads((tmp_path / "r.json").read_text())["Kinds"]
    assert [(one["Model"], one["Tensors"], one["Successes"]) for one in kinds] == [
        ("small", "prompts of 5-6 tokens", len(small)), ("large", "lines of p.jsonl", len(large)),
    ]  # fmt: skip
    assert "Kind small, prompts of 5-6 tokens, weight 3: " in done.stdout
    assert "Prompts: 81, drawn from seed 0, formatted before the run, " in done.stdout


MIXES = {
    "both": ('prompts = "p.jsonl"\nprompt-tokens = 5', "which prompts? give prompts or prompt-tok"),
    "neither": ("output-tokens = 5", "which prompts? give prompts or prompt-tokens"),
    "tensors": ("prompt-tokens = 5\nshape = [3]", "shape with prompts: it is of tensors"),
    "a file's": ('prompts = "p.jsonl"\noutput-tokens = 5', "output-tokens with prompts: it is for"),
    "a range": ('prompt-tokens = "5:6"', "'5:6': write a number such as 512, or a range"),
    "no range": ('prompt-tokens = "9-5"', "prompt-tokens 9-5: it has to be a number"),
    "of tensors": ("shape = [3]", "prompts are for the --url of OpenAI's API, and nothing else"),
}


@pytest.mark.parametrize("name", MIXES)
def test_a_mix_of_prompts_that_cannot_be(cli: Cli, tmp_path: Path, name: str) -> None:
    table, words = MIXES[name]
    (tmp_path / "mix.toml").write_text(f'[[request]]\nmodel = "m"\n{table}\n')
    assert words in refused(cli, "--mix", "mix.toml")


def test_several_servers_share_the_prompts() -> None:
    with token_server(lambda _: STREAM) as one, token_server(lambda _: STREAM) as other:
        result = asked_by(
            one, others=(other.address + CHAT,), prompt_tokens=8, workers=4, max_queries=40
        )
    assert (result.successes, result.failures) == (40, {})
    sent_to = [set(texts(server.asked[1:])) for server in (one, other)]
    assert all(sent_to)
    assert not sent_to[0] & sent_to[1]
    assert len(sent_to[0] | sent_to[1]) == 40


def test_servers_of_two_apis_are_refused(cli: Cli) -> None:
    words = refused(cli, "--url", "http://localhost:1" + PLAIN, "--prompt-tokens", 5)
    assert "all servers have to have the same API" in words


def test_a_sweep_of_lengths(cli: Cli, tmp_path: Path) -> None:
    with token_server(lambda _: STREAM, models=["llama"]) as server:
        words = (
            "sweep", "--url", server.address + CHAT, "--prompt-tokens", "4,6-8", "--output-tokens",
            "2,3", "--workers", "1,2", "--max-queries", 3, "--results-dir", "swept",
        )  # fmt: skip
        done = cli(*words, code=0)
        assert "1 workers, prompt tokens 4, output tokens 2, run 1: " in done.stdout
        asked = len(server.asked)
        again = cli(*words, "--dry-run")
        assert len(server.asked) == asked
    assert "8 runs: 8 done, 0 to do" in again.stdout
    assert {one["max_tokens"] for one in server.asked} == {2, 3}
    assert {len(one.split()) for one in texts(server.asked)} >= {4, 6}
    assert len([*(tmp_path / "swept").glob("JSON_*_prompttokens_6-8_outputtokens_2.json")]) == 2
    cells = {run.cell.variant for run in read_results([tmp_path / "swept"])}
    assert cells == {
        f"tokens {length} in and {most} out" for length in ("4", "6-8") for most in "23"
    }
    shown = cli("tables", "--dir", "swept", code=0)
    assert "6-8 in and 3 out" in shown.stdout
    described = report_facts([*read_results([tmp_path / "swept"])])
    assert described["Prompts"][0].startswith("generated from seed ")
    assert "Tensor" not in described


def test_a_sweep_of_the_lengths_of_answers(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"text": "a"}\n')
    with token_server(lambda _: STREAM) as server:
        config = config_of(server, prompts=tmp_path / "p.jsonl", max_queries=2)
        done = sweep(config, {"output_tokens": [4, 8]}, tmp_path / "swept")
    assert [one["max_tokens"] for one in server.asked] == [4] * 3 + [8] * 3
    assert {run.cell.variant for run in done.results} == {"tokens 4 out", "tokens 8 out"}


def test_a_sweep_from_python(tmp_path: Path) -> None:
    with token_server(lambda _: STREAM) as server:
        config = config_of(server, prompt_tokens=4, max_queries=2)
        done = sweep(config, {"prompt_tokens": [4, (6, 8)], "workers": [1, 2]}, tmp_path)
    assert [run.result.facts["PromptTokens"] for run in done.runs if run.result] == [
        "4", "4", "6-8", "6-8",
    ]  # fmt: skip


def test_a_grid_file_of_servers_and_lengths(cli: Cli, tmp_path: Path) -> None:
    with token_server(lambda _: STREAM) as one, token_server(lambda _: STREAM) as other:
        (tmp_path / "grid.toml").write_text(
            f'''
prompt-tokens = [4, "6-8"]
max-queries = 2
[[server]]
name = "one"
url = "{one.address}{CHAT}"
model = "a"
[[server]]
name = "other"
url = "{other.address}{CHAT}"
model = "b"
'''
        )
        cli("sweep", "--grid", "grid.toml", "--results-dir", "swept", code=0)
    assert ({body["model"] for body in one.asked}, {body["model"] for body in other.asked}) == (
        {"a"}, {"b"},
    )  # fmt: skip
    assert texts(one.asked) == texts(other.asked)
    assert len(read_results([tmp_path / "swept"])) == 4


def test_embeddings_are_bodies(cli: Cli, tmp_path: Path) -> None:
    lines = ['{"model": "m", "input": ["a", "b"]}', '{"model": "m", "input": "c"}']
    (tmp_path / "e.jsonl").write_text("\n".join(lines))
    found = b'{"object": "list", "data": [{"embedding": [0.5]}]}'
    with token_server(lambda _: [answer(found, "application/json", "200 OK")]) as server:
        done = cli(
            "run", "--url", f"{server.address}/v1/embeddings", "--body", "e.jsonl", "--reply",
            "json", "--max-queries", 4, code=0,
        )  # fmt: skip
    assert "formatted" not in done.stdout  # they are sent as they lie
    assert [json.dumps(one) for one in server.asked[1:]] == lines * 2
