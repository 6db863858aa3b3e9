"""Streams of tokens over a real Dask cluster: figures of all clients are those of one."""

import json
from pathlib import Path

import jsonschema
import pytest
from dask.distributed import Client
from manyclients.conftest import WORKERS
from token_server import CHUNKED, DONE, Piece, delta, token_server, usage, whole

from aibench_fast import RunConfig, run
from aibench_fast.results.histogram import LatencyHistogram

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "result.schema.json").read_text())


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
