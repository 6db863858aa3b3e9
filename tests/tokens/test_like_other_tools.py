"""`export --like`: the names and definitions of other tools, from a result's own histograms."""

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from commandline import Cli
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from resultfiles import our_result, token_result, write
from token_server import CHAT, CHUNKED, DONE, Piece, delta, token_server, usage, whole

from aibench_fast import Result, RunConfig, repeat, run
from aibench_fast.results.export import like_aiperf
from aibench_fast.results.files import record_of
from aibench_fast.results.histogram import LatencyHistogram

NEAR = 2e-3
"""Histograms keep three digits."""


def answer(number: int) -> Sequence[Piece]:
    """A role, and 50 ms later tokens in pairs, every 10 ms; every other answer is longer."""
    pairs: list[Piece] = []
    for _ in range(2 if number % 2 else 4):
        pairs += [*whole(delta(content="a b"))[1:-1], 0.01]
    tokens = len(pairs)
    return [
        CHUNKED, *whole(delta(role="assistant", content=""))[1:-1], 0.05, *pairs,
        *whole(usage(tokens, 11), DONE)[1:],
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result of tokens, and one of tensors."""
    folder = tmp_path_factory.mktemp("results")
    (folder / "prompts.jsonl").write_text('{"text": "one"}\n')
    with token_server(answer) as server:
        config = RunConfig(
            file=None, url=server.address + CHAT, prompts=folder / "prompts.jsonl", model="llama",
            workers=2, max_queries=20, slo=("ttft=10s", "tpot=10ms"),
        )  # fmt: skip
        run(config).save(folder / "tokens.json")
    (folder / "prompts.jsonl").unlink()
    return folder


def exported(cli: Cli, tool: str, *results: Path) -> list[Any]:
    done = cli("export", *results, "--like", tool, code=0)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_vllm_has_its_names_and_takes_a_role_for_the_first_token(cli: Cli, folder: Path) -> None:
    (found,) = exported(cli, "vllm", folder / "tokens.json")
    stream = json.loads((folder / "tokens.json").read_text())["Stream"]
    assert (found["completed"], found["failed"], found["num_prompts"]) == (20, 0, 20)
    assert (found["model_id"], found["request_rate"], found["max_concurrency"]) == (
        "llama", "inf", 2,
    )  # fmt: skip
    assert (found["total_output_tokens"], found["total_input_tokens"]) == (120, 220)
    for name, key in {
        "ttft": "TimeToFirstEvent", "tpot": "TimePerOutputToken", "itl": "ChunkGap",
        "e2el": "EndToEnd",
    }.items():  # fmt: skip
        assert found[f"mean_{name}_ms"] == pytest.approx(stream[key]["mean"], rel=NEAR)
        assert found[f"median_{name}_ms"] == pytest.approx(stream[key]["q50"], rel=NEAR)
        assert found[f"p90_{name}_ms"] == pytest.approx(stream[key]["q90"] or 0, rel=0.2)
        assert found[f"median_{name}_ms"] <= found[f"p95_{name}_ms"] <= found[f"p99_{name}_ms"]
    assert found["mean_ttft_ms"] < 40 < stream["TimeToFirstToken"]["mean"]
    assert found["output_throughput"] == pytest.approx(120 / found["duration"])
    assert found["total_token_throughput"] == pytest.approx(340 / found["duration"])
    assert found["request_throughput"] == pytest.approx(20 / found["duration"])
    assert found["request_goodput"] == pytest.approx(stream["GoodRequests"] / found["duration"])


def test_aiperf_has_its_metrics_with_units_and_statistics(cli: Cli, folder: Path) -> None:
    (found,) = exported(cli, "aiperf", folder / "tokens.json")
    stream = json.loads((folder / "tokens.json").read_text())["Stream"]
    for tag, key in {
        "time_to_first_token": "TimeToFirstToken", "inter_token_latency": "TimePerOutputToken",
        "inter_chunk_latency": "ChunkGap", "request_latency": "EndToEnd",
        "output_sequence_length": "OutputTokensPerRequest",
        "input_sequence_length": "InputTokensPerRequest",
    }.items():  # fmt: skip
        metric = found[tag]
        assert list(metric) == [
            "unit", "avg", "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "min",
            "max", "std", "count", "sum",
        ]  # fmt: skip
        assert metric["avg"] == pytest.approx(stream[key]["mean"], rel=NEAR)
        assert metric["p50"] == pytest.approx(stream[key]["q50"], rel=NEAR)
        assert metric["max"] == pytest.approx(stream[key]["q100"], rel=NEAR)
        assert metric["min"] <= metric["p1"] <= metric["p75"] <= metric["p99"] <= metric["max"]
        assert metric["sum"] == pytest.approx(metric["avg"] * metric["count"])
    assert found["output_sequence_length"]["p50"] in (4, 8)
    assert (found["input_sequence_length"]["min"], found["input_sequence_length"]["max"]) == (
        11,
        11,
    )
    # Tokens a second after the first: the reciprocal of each stream's mean time per token.
    users, times = found["output_token_throughput_per_user"], found["inter_token_latency"]
    assert users["unit"] == "tokens/sec/user"
    assert users["max"] == pytest.approx(1000 / times["min"], rel=NEAR)
    assert users["avg"] >= 1000 / times["avg"] * (1 - NEAR)
    assert found["request_count"] == {"unit": "requests", "avg": 20}
    seconds = found["benchmark_duration"]["avg"]
    assert found["output_token_throughput"]["avg"] == pytest.approx(120 / seconds)
    assert found["goodput"]["avg"] == pytest.approx(stream["GoodRequests"] / seconds)


def test_a_spread_is_that_of_the_values() -> None:
    """By arithmetic: the times of first tokens, whose spread is known."""
    result = token_result()
    found = like_aiperf(record_of(result))["time_to_first_token"]
    firsts: LatencyHistogram = result.tokens.first_tokens
    assert found["std"] == pytest.approx(firsts.stddev_ms, rel=NEAR)
    assert found["avg"] == pytest.approx(firsts.mean_ms, rel=NEAR)
    assert found["p99"] == pytest.approx(firsts.quantiles_ms([0.99])[0], rel=0.01)


def test_results_of_tensors_are_left_out(cli: Cli, folder: Path, tmp_path: Path) -> None:
    our_result().save(tmp_path / "tensors.json")
    token_result().save(tmp_path / "more.json")
    done = cli("export", folder / "tokens.json", tmp_path, "--like", "vllm", "--out", "all.jsonl")
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "all.jsonl").read_text().splitlines()) == 2
    assert "1 results are left out: they have no streams of tokens" in done.stderr
    done = cli("export", tmp_path / "tensors.json", "--like", "aiperf", code=2)
    assert "none of the results has streams of tokens" in done.stderr


def test_a_result_that_lacks_what_a_tool_has_is_one_line(cli: Cli, tmp_path: Path) -> None:
    document = token_result().to_json()
    del document["Stream"]["InputTokens"]
    write(tmp_path, "tokens.json", document)
    assert cli("export", tmp_path / "tokens.json", "--format", "csv", code=0).stdout
    done = cli("export", tmp_path / "tokens.json", "--like", "vllm", code=2, errors=1)
    assert "tokens.json lacks figures of streams: InputTokens" in done.stderr


def test_a_table_has_the_lengths_of_requests(cli: Cli, folder: Path) -> None:
    rows = cli("export", folder / "tokens.json", "--format", "csv").stdout
    (row,) = csv.DictReader(io.StringIO(rows))
    assert float(row["output_tokens_per_request_mean"]) == pytest.approx(6, rel=NEAR)
    assert float(row["output_tokens_per_request_q100"]) == 8
    assert float(row["input_tokens_per_request_q50"]) == 11


def with_goodput(good: int, seed: int) -> Result:
    """A result of 300 streams in a window of 10 s, of which so many were good."""
    result = token_result(seed=seed)
    tokens = dataclasses.replace(
        result.tokens, slo={"ttft": 200.0}, good_streams=good, steady_s=10.0,
        steady_millitokens=15_000_000, steady_millistreams=300_000, steady_milligood=1000 * good,
        steady_stream_ns=40 * 10**9,
    )  # fmt: skip
    return dataclasses.replace(result, tokens=tokens)


def test_goodput_is_compared_tabulated_and_exported(cli: Cli, tmp_path: Path) -> None:
    for run_number in range(5):
        with_goodput(200 + run_number, run_number).save(tmp_path / "a" / f"{run_number}.json")
        with_goodput(100 + run_number, run_number).save(tmp_path / "b" / f"{run_number}.json")
    with_goodput(0, 9).save(tmp_path / "none" / "0.json")
    compared = cli("compare", tmp_path / "a", tmp_path / "b")
    (line,) = (one for one in compared.stdout.splitlines() if one.lstrip().startswith("goodput"))
    before, _, after = line.split()[1:4]
    assert (float(before), float(after)) == pytest.approx((20.2, 10.2), rel=1e-3)
    assert line.endswith("worse")
    rows = cli("export", tmp_path / "a" / "1.json", tmp_path / "none", "--format", "csv").stdout
    first, none = csv.DictReader(io.StringIO(rows))
    assert (first["goodput"], none["goodput"]) == ("20.1", "0.0")
    assert first["output_tokens_per_second_per_user"] == "375.0"
    text = cli("export", tmp_path / "none", "--format", "openmetrics").stdout
    families = {one.name: one for one in text_string_to_metric_families(text)}
    assert [sample.value for sample in families["aibench_goodput"].samples] == [0.0]


def test_repeats_have_medians_and_intervals_of_streams(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"text": "one"}\n')
    with token_server(answer) as server:
        config = RunConfig(
            file=None, url=server.address + CHAT, prompts=tmp_path / "p.jsonl", model="m",
            workers=2, max_queries=8, slo=("latency=10s",),
        )  # fmt: skip
        made = repeat(config, runs=3)
    found = made.spreads()
    for name in ("tokens", "tokens_per_user", "goodput", "ttft.p50", "tpot.p50", "gap.p50"):
        assert len(found[name].values) == 3
        low, high = found[name].interval or (0, 0)
        assert low <= found[name].median <= high
    assert found["ttft.p50"].median >= 50
    assert found["goodput"].unit == "good requests/s"
    figures = made.to_json(["a", "b", "c"])["Repeats"]["Figures"]
    assert figures["tokens"]["Median"] == found["tokens"].median
