"""Figures of streams of tokens in all that shows results: by name, and apart from tensors'."""

import csv
import dataclasses
import io
import json
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from commandline import Cli
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from resultfiles import changed, our_result, token_result, write

import aibench_fast
from aibench_fast.report.charts import charts
from aibench_fast.report.content import gather
from aibench_fast.report.text import format_repeats, format_summary, live_line
from aibench_fast.results.figures import KindFigures
from aibench_fast.results.folder import load
from aibench_fast.results.groups import ServerFacts
from aibench_fast.results.repeats import Repeats
from aibench_fast.results.search import Search, SearchStep
from aibench_fast.results.stream import StreamFigures, Times
from aibench_fast.results.streamnames import FROM_DUE, RATES, TIMES
from aibench_fast.studies.thresholds import parse_expectation

GOLDEN = Path(__file__).parents[1] / "golden"
TRITON = ServerFacts("triton", "2.60", "http://gpu-1:8000")


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """Results of tensors and of tokens in one folder, at the same settings."""
    folder = tmp_path / "results"
    for run in (1, 2):
        our_result(
            workers=4, autobatching=-1, rate=99.0 + run, seed=run, server={"facts": TRITON}
        ).save(folder / f"tensors_{run}.json")
        for workers in (4, 16):
            result = token_result(
                workers=workers, ttft_ms=60.0 + 5 * workers + run, gap_ms=10.0 + run, seed=run
            )
            result.save(folder / f"tokens_{workers}_{run}.json")
    return folder


@pytest.mark.parametrize("form", ["text", "markdown", "csv"])
def test_tables_are_as_the_golden_files(cli: Cli, both: Path, form: str) -> None:
    done = cli("tables", "--dir", both, "--stat", "median", "--format", form, code=0, errors=0)
    assert done.stdout == (GOLDEN / f"tables_tokens_{form}.txt").read_text()


def test_tables_of_tokens_alone_have_no_batches(cli: Cli, both: Path) -> None:
    done = cli("tables", "--dir", both, "--prefix", "tokens", code=0)
    assert "batching" not in done.stdout
    assert done.stdout.startswith("-------------------\n## Streams of tokens\nWorkers,")
    done = cli("tables", "--dir", both, "--prefix", "tokens", "--server-stat", "used_memory")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_of_named_servers_the_table_has_a_column(cli: Cli, tmp_path: Path) -> None:
    for name, ttft_ms in (("vllm", 50.0), ("sglang", 70.0)):
        token_result(ttft_ms=ttft_ms, name=name).save(tmp_path / f"r/{name}.json")
    rows = cli("tables", "--dir", "r").stdout.splitlines()[2:]
    table = [*csv.DictReader(rows[:3])]
    assert [one["Server"] for one in table] == ["sglang", "vllm"]
    assert float(table[0]["ttft.p50 (ms)"]) > float(table[1]["ttft.p50 (ms)"])


def test_lengths_are_one_column_of_the_table(cli: Cli, tmp_path: Path) -> None:
    facts = {"PromptTokens": "64-128", "MaxTokens": "32"}
    token_result(facts=facts).save(tmp_path / "r/1.json")
    head, row = cli("tables", "--dir", "r").stdout.splitlines()[2:4]
    cells = dict(zip(head.split(","), row.split(","), strict=True))
    assert cells["Tokens"] == "64-128 in and 32 out"


def test_parts_of_a_run_have_figures_of_streams(cli: Cli, tmp_path: Path) -> None:
    whole = token_result()
    kinds = [
        KindFigures(
            name=name, tensors="a prompt", batch_size=1, weight=1.0, successes=300,
            inferences=300, latencies=whole.latencies,
            tokens=token_result(ttft_ms=ttft_ms).tokens,
        )
        for name, ttft_ms in (("small", 40.0), ("large", 400.0))
    ]  # fmt: skip
    mixed = changed(whole, kinds=kinds)
    mixed.save(tmp_path / "r.json")
    shown = [one for one in format_summary(mixed).splitlines() if one.startswith("Kind ")]
    assert [re.search(r"ttft (\d+)", one)[1] for one in shown] == ["40", "403"]  # type: ignore[index]
    assert cli("report", "r.json", "--out", "report.html").returncode == 0
    assert (tmp_path / "report.html").read_text().count("ttft.p50 (ms)<") == 2  # cells and parts


def test_a_comparison_of_tokens_is_as_the_golden_file(cli: Cli, tmp_path: Path) -> None:
    for run in range(1, 6):
        token_result(seed=run).save(tmp_path / f"a/{run}.json")
        token_result(seed=run + 10, ttft_ms=120.0).save(tmp_path / f"b/{run}.json")
    done = cli("compare", "a", "b", code=1, errors=0)
    assert done.stdout == (GOLDEN / "compare_tokens.txt").read_text()
    found = json.loads(cli("compare", "a", "b", "--format", "json").stdout)["comparisons"]
    assert {one["streams"] for one in found} == {True}
    assert {one["autobatching"] for one in found} == {None}
    by_name = {one["metric"]: one["verdict"] for one in found}
    assert (by_name["ttft.p50"], by_name["tpot.p50"]) == ("worse", "same")


def test_a_percentile_of_few_streams_needs_more_requests(cli: Cli, tmp_path: Path) -> None:
    document = token_result().to_json()
    document["Stream"]["TimeToFirstToken"]["q99"] = None  # as of fewer than 100 streams
    write(tmp_path, "few.json", document)
    done = cli("compare", "few.json", "few.json")
    assert "no verdict on ttft.p99 of runs with fewer than 100 requests" in done.stderr


def test_tokens_are_not_compared_with_tensors(cli: Cli, both: Path) -> None:
    done = cli("compare", both / "tensors_1.json", both / "tokens_4_1.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "aibench-fast: nothing to compare: A has 4 workers, tensor batch 1, and B has 4 workers, "
        "tokens\n"
    )
    compared = cli("compare", both, both).stdout
    tensors, tokens = compared.index("4 workers, tensor"), compared.index("4 workers, tokens")
    assert tensors < compared.index("ttft.p50") > tokens


def test_figures_that_do_not_apply_are_empty_in_an_export(cli: Cli, both: Path) -> None:
    rows = {
        row["file"]: row
        for row in csv.DictReader(io.StringIO(cli("export", both, "--format", "csv").stdout))
    }
    tensors, tokens = rows["tensors_1.json"], rows["tokens_4_1.json"]
    assert (tensors["batch_size"], tokens["batch_size"], tokens["autobatching"]) == ("1", "", "")
    assert (tensors["streams"], tokens["streams"]) == ("", "True")
    result = json.loads((both / "tokens_4_1.json").read_text())["Stream"]
    for times in TIMES:
        assert tensors[f"{times.name}_q99_ms"] == ""
        assert float(tokens[f"{times.name}_q99_ms"]) == result[times.key]["q99"]
    assert (tensors["output_tokens"], tokens["output_tokens"]) == ("", "15000")
    assert (tensors["tokens_from"], tokens["tokens_from"]) == ("", "usage")


def test_openmetrics_has_the_figures_of_streams(cli: Cli, both: Path) -> None:
    text = cli("export", both, "--format", "openmetrics").stdout
    families = {family.name: family for family in text_string_to_metric_families(text)}
    rates = families["aibench_output_tokens_per_second"].samples
    assert {one.labels["file"] for one in rates} == {
        f"tokens_{workers}_{run}.json" for workers in (4, 16) for run in (1, 2)
    }
    assert all("batch_size" not in one.labels for one in rates)
    result = json.loads((both / "tokens_4_1.json").read_text())["Stream"]
    (median,) = (
        one.value
        for one in families["aibench_time_to_first_token_seconds"].samples
        if (one.labels["file"], one.labels["quantile"]) == ("tokens_4_1.json", "0.5")
    )
    assert median == pytest.approx(result["TimeToFirstToken"]["q50"] / 1000)


def test_under_a_schedule_times_are_from_when_requests_were_due(tmp_path: Path) -> None:
    due = token_result(ttft_ms=900.0).tokens.first_tokens
    changed(token_result(), first_tokens_due=due).save(tmp_path / "r.json")
    (row,) = aibench_fast.read_results(tmp_path / "r.json").to_pandas().to_dict("records")
    assert row["ttft_q50_ms"] == due.quantiles_ms([0.5])[0]


def test_options_have_the_same_names() -> None:
    for times in TIMES:
        parse_expectation(f"{times.name}.p99<1s")


def test_a_notebook_shows_figures_of_streams(both: Path) -> None:
    shown = aibench_fast.read_results(both)._repr_html_()
    assert "<th>ttft.p50 ms</th>" in shown
    compared = aibench_fast.compare(*[aibench_fast.read_results(both)] * 2)._repr_html_()
    assert "tpot.p99, ms" in compared
    assert "time to first token (ms)" in token_result()._repr_html_()


def test_a_report_has_charts_of_tokens(cli: Cli, both: Path, tmp_path: Path) -> None:
    cli("report", both, "--png", "plots", "--out", "report.html", code=0)
    written = {path.stem for path in (tmp_path / "plots").iterdir()}
    of_tokens = {f"streams-{name}-workers" for name in ("tokens", "ttfe", "ttft", "tpot", "gap")}
    assert of_tokens <= written
    assert {"tokens-over-time", "latency-percentiles"} <= written
    page = (tmp_path / "report.html").read_text()
    for card in ("Highest throughput", "Output tokens per second", "Time to first token, p99"):
        assert card in page
    assert "ttft.p99 (ms)<" in page


def chart(folder: Path, name: str) -> dict[str, Any]:
    """The specification of a chart of a folder's report."""
    drawn = {one.name: one for one in charts(gather("", load([folder])))}
    return drawn[name].spec


def test_times_against_the_load_are_medians_of_runs(both: Path) -> None:
    rows = chart(both, "streams-ttft-workers")["data"]["values"]
    assert [(row["load"], row["figure"], row["runs"]) for row in rows] == [
        (4, "p50", 2), (4, "p99", 2), (16, "p50", 2), (16, "p99", 2),
    ]  # fmt: skip
    results = aibench_fast.read_results(both, prefix="tokens_16")
    values = [run.stream["TimeToFirstToken"]["q50"] for run in results]
    assert (rows[2]["low"], rows[2]["high"]) == (min(values), max(values))
    assert rows[2]["value"] == pytest.approx(sum(values) / 2)


def test_times_against_a_rate_have_a_series_for_each_number_of_workers(tmp_path: Path) -> None:
    for limit_rps in (2.0, 5.0):
        for workers in (8, 16):
            result = token_result(workers=workers, limit_rps=limit_rps)
            result.save(tmp_path / f"{limit_rps}_{workers}.json")
    rows = chart(tmp_path, "streams-tpot-rate")["data"]["values"]
    assert {row["load"] for row in rows} == {2.0, 5.0}
    assert {row["series"] for row in rows} == {"8 workers, tokens", "16 workers, tokens"}


def test_tokens_over_time_are_of_chunks_as_they_came(tmp_path: Path) -> None:
    result = token_result()
    intervals = [
        dataclasses.replace(one, chunks=100 * number)
        for number, one in enumerate(result.intervals, 1)
    ]
    tokens = dataclasses.replace(result.tokens, chunks=result.tokens.output_tokens // 2)
    dataclasses.replace(result, intervals=intervals, tokens=tokens).save(tmp_path / "r.json")
    our_result().save(tmp_path / "tensors.json")
    rows = chart(tmp_path, "tokens-over-time")["data"]["values"]
    assert len(rows) == len(intervals)
    assert {row["tokens"] for row in rows} == {200.0}  # 100 chunks a second, of 2 tokens each


def test_a_search_for_tokens_draws_its_targets(tmp_path: Path) -> None:
    steps = []
    for workers in (4, 16):
        token_result(workers=workers, ttft_ms=10.0 * workers).save(tmp_path / f"{workers}.json")
        steps.append(SearchStep(workers, workers == 4, f"{workers}.json"))
    Search(
        slo=["ttft.p99<=100ms", "tpot.p50<=50ms"], over="workers", steps=steps, found=4.0,
        confirmed=True,
    ).save(tmp_path / "search.json")  # fmt: skip
    spec = chart(tmp_path, "search-1")
    assert {row["quantile"] for row in spec["data"]["values"]} == {"ttft.p99", "tpot.p50"}
    targets = [one["data"]["values"] for one in spec["layer"] if "data" in one]
    assert [target["ms"] for target in targets[1]] == [100, 50]


def test_the_summary_is_as_the_golden_file() -> None:
    due = token_result(ttft_ms=300.0).tokens.first_tokens
    reasoned = token_result(ttft_ms=200.0, seed=2).tokens.first_tokens
    result = changed(
        token_result(), first_tokens_due=due, first_answers=reasoned, steady_s=30.0, ramp_s=1.5,
        drain_s=0.75, steady_millitokens=9_000_000, steady_millistreams=180_000,
        steady_stream_ns=120 * 10**9, slo={"ttft": 100.0, "tpot": 20.0}, good_streams=210,
        steady_milligood=120_000, failed_chunks=12,
    )  # fmt: skip
    lines = format_summary(result).splitlines()
    (first,) = (at for at, one in enumerate(lines) if one.startswith("Time to first event"))
    (last,) = (at for at, one in enumerate(lines) if one.startswith("Chunks of failed streams"))
    shown = "\n".join(lines[first : last + 1]) + "\n"
    assert shown == (GOLDEN / "summary_tokens.txt").read_text()


def test_repeats_have_intervals_of_figures_of_streams() -> None:
    made = Repeats([token_result(seed=seed) for seed in range(4)])
    assert format_repeats(made) == (GOLDEN / "repeats_tokens.txt").read_text()
    assert "ttft" not in format_repeats(Repeats([our_result(), our_result()]))


def test_percentiles_are_of_all_values(both: Path) -> None:
    rows = chart(both, "streams-ttft-percentiles")["data"]["values"]
    assert {row["workers"] for row in rows} == {4, 16}
    assert max(row["one_in"] for row in rows) == 600  # 300 of each of two runs


def test_every_time_and_rate_that_is_declared_has_a_name() -> None:
    """But for what other figures say: the latency, the requests, and the lengths of texts."""
    others = {"EndToEnd", "RequestsPerSecond", "OutputTokensPerRequest", "InputTokensPerRequest"}
    declared = {
        key
        for key, kind in get_type_hints(StreamFigures).items()
        if (Times in get_args(kind) or "PerSecond" in key or "Goodput" in key)
        and not key.endswith(FROM_DUE)
    }
    assert {one.key for one in (*TIMES, *RATES)} == declared - others


def test_the_live_line_counts_requests_and_chunks() -> None:
    last = dataclasses.replace(token_result().intervals[-1], chunks=1234, requests=56)
    assert live_line(last).startswith("56 requests, 1,234 chunks, ")
    assert live_line(our_result().intervals[-1]).startswith("2,000 images, ")


def test_a_histogram_that_cannot_be_read_is_named(cli: Cli, tmp_path: Path) -> None:
    document = token_result().to_json()
    document["Stream"]["Histograms"]["TimeToFirstToken"] = "HISTF-no"
    write(tmp_path / "r", "broken.json", document)
    assert cli("report", "r", "--out", "report.html").returncode == 0
    page = (tmp_path / "report.html").read_text()
    assert "broken.json: of its details, not its figures: " in page
    assert "ttft.p99 (ms)<" in page


def test_cells_of_tokens_are_in_no_chart_of_tensors(both: Path) -> None:
    rows = chart(both, "throughput-auto-batching")["data"]["values"]
    assert [(row["workers"], row["runs"]) for row in rows] == [(4, 2)]
    drawn = {one.name for one in charts(gather("", load([both], "tokens")))}
    assert not any(name.startswith(("throughput-auto", "throughput-tensor")) for name in drawn)
