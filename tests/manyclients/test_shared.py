"""What the clients of a run share: a least batch, prompts and their files, streams, traces."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
from dask.distributed import Client
from manyclients.conftest import WORKERS
from manyclients.there import hide
from redisclient import connect, load_into
from smallruns import config_of
from token_server import CHUNKED, DONE, Piece, delta, token_server, usage, whole

from aibench_fast import ConfigError, Result, RunConfig, run
from aibench_fast.clients.files import with_files
from aibench_fast.load.kinds import RequestKind, body_input
from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.protocols.protocol import DrawnPrompts
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.server import EmbeddedServer

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "result.schema.json").read_text())
STREAM = whole(delta(content="a"), DONE)


def asked(server: EmbeddedServer, dask: Client, workers: int, max_queries: int = 0) -> Result:
    config = RunConfig(
        file=None, shape=(16,), model="least", address=server.address, workers=workers,
        max_queries=max_queries, duration_s=0 if max_queries else 1.0,
    )  # fmt: skip
    return run(config, client=dask)


def test_clients_fill_a_least_batch_together(server: EmbeddedServer, dask: Client) -> None:
    spec = ModelSpec(name="least", backend=Backend.NULL, batch_size=8, min_batch_size=4)
    load_into(server.address, spec)
    result = asked(server, dask, 4)
    assert result.failures == {}
    assert result.setup.metadata_autobatching == 8
    assert [client.workers for client in result.clients] == [2, 1, 1]
    assert result.successes >= 4
    assert result.successes + result.counts.abandoned == result.counts.all_requests.sent
    assert result.counts.abandoned <= 3
    with pytest.raises(ConfigError, match="3 x `batch_size` 1 is too few; use at least 4 `work"):
        asked(server, dask, 3)
    with pytest.raises(ConfigError, match="the last client to send its share may be too few"):
        asked(server, dask, 4, max_queries=300)
    connect(server.address).delete("least")


def test_every_file_is_the_one_of_the_client() -> None:
    own = DrawnPrompts((4, 9), None, Path("of-mix.json"))
    mix = tuple(RequestKind(name, (body_input(None, drawn=own),)) for name in ("a", "b"))
    asked = RunConfig(file=None, url="http://h/v1/completions", mix=mix, extra_body=Path("e.json"))
    drawn = RunConfig(
        file=None, url="http://h/v1/completions", prompt_tokens=5, tokenizer=Path("t.json")
    )
    where = {Path(name): Path("/there") / name for name in ("of-mix.json", "e.json", "t.json")}
    found = with_files(asked, where)
    assert {one.drawn and one.drawn.tokenizer for kind in found.kinds for one in kind.inputs} == {
        Path("/there/of-mix.json")
    }
    assert found.extra_body == Path("/there/e.json")
    assert with_files(drawn, where).tokenizer == Path("/there/t.json")


@pytest.mark.parametrize("drawn", [True, False])
def test_prompts_are_those_of_one_client(
    dask: Client, tmp_path: Path, changed: Callable[..., None], drawn: bool
) -> None:
    """Also of a file that the clients lack, as with the one of further fields."""
    file, extra = tmp_path / "p.jsonl", tmp_path / "extra.json"
    file.write_text("".join(f'{{"text": "line {n}"}}\n' for n in range(25)))
    extra.write_text('{"temperature": 0.5}')
    changed(hide, extra if drawn else file)
    with token_server(lambda _: STREAM, models=["llama"]) as server:
        config = RunConfig(
            file=None, url=server.address + "/v1/completions", extra_body=extra, workers=5,
            max_queries=60, seed=3, **({"prompt_tokens": (4, 9)} if drawn else {"prompts": file}),
        )  # fmt: skip
        counts = []
        for clients in (1, WORKERS):
            before = len(server.asked)
            result = run(config, client=dask, clients=clients)
            assert (result.successes, result.failures) == (60, {})
            trials = 1 if clients == 1 else WORKERS
            counts.append(Counter(one["prompt"] for one in server.asked[before + trials :]))
            assert {one["temperature"] for one in server.asked} == {0.5}
            assert {one["model"] for one in server.asked} == {"llama"}
    assert counts[0] == counts[1]
    assert counts[0].total() == 60
    assert len(counts[0]) == (60 if drawn else 25)


def test_streams_of_several_clients_add_up(dask: Client, tmp_path: Path) -> None:
    """Every fourth answer is slow. Closed loops of 50 ms, of which a worker has one at a time."""
    (tmp_path / "p.jsonl").write_text('{"text": "one"}\n')

    def answer(number: int) -> list[Piece]:
        first_s = 0.25 if number % 4 == 0 else 0.04
        tokens: list[Piece] = [*whole(delta(content="a"))[1:-1], 0.005] * 3
        return [CHUNKED, first_s, *tokens, *whole(usage(6), DONE)[1:]]

    with token_server(answer) as server:
        config = RunConfig(
            file=None, url=server.address + "/v1/chat/completions", prompts=tmp_path / "p.jsonl",
            model="m", workers=6, max_queries=97, burn_in=1, slo=("ttft=150ms",),
        )  # fmt: skip
        result = run(config, client=dask)
        asked = len(server.asked)
    stream = result.stream
    assert stream is not None
    clients = [client.tokens for client in result.clients]
    assert len(clients) == WORKERS
    assert (result.successes, stream["OutputTokens"]) == (96, 6 * 96)
    assert asked == 97 + WORKERS  # each client sends one on trial
    for name in (
        "output_tokens",
        "chunks",
        "good_streams",
        "steady_millitokens",
        "steady_stream_ns",
    ):
        assert sum(getattr(one, name) for one in clients) == getattr(result.tokens, name)
    for name in ("first_tokens", "token_times", "chunk_gaps", "output_lengths"):
        parts = [getattr(one, name) for one in clients]
        assert LatencyHistogram.merged(parts).encode() == getattr(result.tokens, name).encode()
    assert result.intervals[-1].chunks == 3 * 97
    assert result.tokens.good_streams == result.tokens.first_tokens.counts_up_to([150])[0]
    assert 0 < result.tokens.good_streams < 96
    rates = [client.stream["OutputTokensPerSecond"] for client in result.clients if client.stream]
    assert stream["OutputTokensPerSecond"] == pytest.approx(sum(rates))
    # As of six workers without a pause, by their mean time.
    true = 6 * 6 / (result.latencies.mean_ms / 1000)
    assert stream["OutputTokensPerSecond"] == pytest.approx(true, rel=0.25)
    jsonschema.validate(json.loads(json.dumps(result.to_json())), SCHEMA)


def test_a_conversation_is_of_one_client_alone(dask: Client, tmp_path: Path) -> None:
    """Each turn is sent once, after the one before it has ended, whichever client sends it."""
    prompts = tmp_path / "p.jsonl"
    turns = [
        {"session": session, "text": f"{session} {number}", "answer": "x"}
        for number in range(4)
        for session in range(10)
    ]
    prompts.write_text("".join(f"{json.dumps(one)}\n" for one in turns))
    with token_server(lambda _: [0.002, *STREAM]) as server:
        result = run(config_of(server, prompts=prompts, workers=4), client=dask, clients=WORKERS)
    found = defaultdict(list)
    for number, body in enumerate(server.asked[WORKERS:], WORKERS):  # behind the trials
        session, place = body["messages"][-1]["content"].split()
        found[session].append((int(place), number))
    assert result.successes == 40
    assert len(result.clients) == WORKERS
    assert (result.facts["Sessions"], result.facts["Turns"]) == (10, 40)
    for sent in found.values():
        assert [place for place, _ in sent] == [0, 1, 2, 3]
        for (_, before), (_, after) in pairwise(sent):
            assert server.asked_at[after] > server.ending_at[before]


def test_a_trace_is_sent_as_by_one_client(dask: Client, tmp_path: Path) -> None:
    trace = tmp_path / "t.jsonl"
    lines = [
        {"timestamp": 30 * n, "input_length": n + 1, "output_length": n + 2, "hash_ids": [n]}
        for n in range(20)
    ]
    trace.write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    with token_server(lambda _: STREAM) as server:
        result = run(config_of(server, trace=trace, workers=6), client=dask, clients=WORKERS)
    sent = zip(server.asked[WORKERS:], server.asked_at[WORKERS:], strict=True)
    came = {
        body["max_tokens"]: (len(body["messages"][0]["content"].split()), at) for body, at in sent
    }
    assert {most: length for most, (length, _) in came.items()} == {n + 2: n + 1 for n in range(20)}
    worst_s = result.latencies.max_ms / 1000 + 0.005  # clocks of clients differ by less
    for n in range(1, 20):
        assert abs(came[n + 2][1] - came[2][1] - 0.03 * n) <= worst_s
    assert result.schedule.arrivals["File"] == str(trace)
