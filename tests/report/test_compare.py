"""Two sets of runs against each other: verdicts, exit codes and refusals."""

import json
import math
import random
import re
from pathlib import Path

import numpy as np
import pytest
from commandline import Cli
from resultfiles import go_document, our_result, result_name, write

from aibench_fast.results.compare import HISTOGRAM_SHARE, ratio_interval
from aibench_fast.results.groups import ServerFacts

GOLDEN = Path(__file__).parents[1] / "golden"


def runs(
    folder: Path, rate: float, p50_ms: float, *, count: int = 5, noise: float = 0.01, seed: int = 1
) -> Path:
    """Repeated runs of one cell of the Go tool."""
    rng = random.Random(seed)
    for run in range(1, count + 1):
        document = go_document(4, 0, 1, rate * rng.gauss(1, noise), p50_ms * rng.gauss(1, noise))
        write(folder, result_name("", (4, 0, 1), run), document)
    return folder


def verdicts(cli: Cli, a: Path, b: Path, *arguments: object) -> tuple[int, dict[str, str]]:
    done = cli("compare", a, b, "--format", "json", *arguments)
    found = json.loads(done.stdout)["comparisons"]
    return done.returncode, {one["metric"]: one["verdict"] for one in found}


def test_a_slower_server_is_worse_and_the_exit_code_is_one(cli: Cli, tmp_path: Path) -> None:
    a, b = runs(tmp_path / "a", 100, 20, seed=1), runs(tmp_path / "b", 85, 24, seed=2)
    code, found = verdicts(cli, a, b)
    assert (code, set(found.values())) == (1, {"worse"})


def test_a_faster_server_is_better_and_the_exit_code_is_zero(cli: Cli, tmp_path: Path) -> None:
    a, b = runs(tmp_path / "a", 100, 20, seed=1), runs(tmp_path / "b", 120, 16, seed=2)
    code, found = verdicts(cli, a, b)
    assert (code, set(found.values())) == (0, {"better"})


def test_what_is_within_the_threshold_is_the_same(cli: Cli, tmp_path: Path) -> None:
    a = runs(tmp_path / "a", 100, 20, noise=0.002, seed=1)
    b = runs(tmp_path / "b", 98, 20.4, noise=0.002, seed=2)
    assert verdicts(cli, a, b) == (0, dict.fromkeys(("throughput", "p50", "p95", "p99"), "same"))
    code, found = verdicts(cli, a, b, "--threshold", "0.1")
    assert code == 1
    assert found["throughput"] == "worse"


def test_noise_is_neither_better_nor_the_same(cli: Cli, tmp_path: Path) -> None:
    a = runs(tmp_path / "a", 100, 20, noise=0.15, seed=1)
    b = runs(tmp_path / "b", 95, 21, noise=0.15, seed=2)
    code, found = verdicts(cli, a, b)
    assert (code, set(found.values())) == (0, {"unclear"})


def test_too_few_runs_are_no_verdict(cli: Cli, tmp_path: Path) -> None:
    a, b = runs(tmp_path / "a", 100, 20, count=2), runs(tmp_path / "b", 50, 40, count=5)
    done = cli("compare", a, b, code=0)
    assert done.stdout.count("too few runs") == 5
    assert "[" not in done.stdout.partition("runs:")[2]
    assert "fewer than 3 runs" in done.stderr


def test_times_below_zero_are_in_no_verdict(cli: Cli, tmp_path: Path) -> None:
    a, b = runs(tmp_path / "a", 100, -20, seed=1), runs(tmp_path / "b", 50, -20, seed=2)
    code, found = verdicts(cli, a, b)
    assert (code, found["throughput"], found["p50"]) == (1, "worse", "not known")


def test_files_can_be_compared(cli: Cli, tmp_path: Path) -> None:
    folder = runs(tmp_path / "a", 100, 20, count=2)
    first, second = sorted(folder.iterdir())
    assert cli("compare", first, second).returncode == 0


def save_ours(folder: Path, **changes: object) -> Path:
    for run in range(3):
        result = our_result(seed=run, rate=100 + run, **changes)
        path = folder / f"{run}.json"
        result.save(path)
    return folder


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {
                "server": {
                    "facts": ServerFacts("RedisAI", "1.2.7 on redis 6.2.14", "localhost:6379")
                }
            },
            "server: aibench-fast embedded server in A, RedisAI in B; server version: "
            "0.1.0 on valkey 9.1.2 in A, 1.2.7 on redis 6.2.14 in B",
        ),
        ({"threads": 2}, "client threads: 1 in A, 2 in B"),
        ({"pipeline": 16}, "pipeline: 1 in A, 16 in B"),
        (
            {"query_label": "RedisAI Query - mobilenet_v1_100_224 :AI.DAGRUN"},
            "request: RedisAI Query - mobilenet_v1_100_224 :AI.MODELRUN in A, RedisAI Query",
        ),
    ],
)
def test_unlike_set_ups_are_refused_with_what_differs(
    cli: Cli, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    a, b = save_ours(tmp_path / "a"), save_ours(tmp_path / "b", **changes)
    done = cli("compare", a, b)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr
    forced = cli("compare", a, b, "--force", code=0)
    assert "Different set-ups, compared anyway:" in forced.stdout


@pytest.mark.parametrize(
    "fact", ["Host", "CpuModel", "Kernel", "ModelDigest", "DataDigest", "Encoding", "Inputs"]
)
def test_facts_of_host_model_and_data_have_to_be_alike(cli: Cli, tmp_path: Path, fact: str) -> None:
    a, b = save_ours(tmp_path / "a"), save_ours(tmp_path / "b")
    for folder, value in ((a, "one"), (b, "other")):
        for path in folder.iterdir():
            path.write_text(json.dumps(json.loads(path.read_text()) | {"Facts": {fact: value}}))
    done = cli("compare", a, b, code=2)
    assert f"{fact}: one in A, other in B" in done.stderr


def test_facts_that_hold_or_not_are_yes_and_no(cli: Cli, tmp_path: Path) -> None:
    a, b = save_ours(tmp_path / "a"), save_ours(tmp_path / "b")
    for folder, value in ((a, True), (b, False)):
        for path in folder.iterdir():
            path.write_text(
                json.dumps(json.loads(path.read_text()) | {"Facts": {"Encoding": value}})
            )
    assert "Encoding: yes in A, no in B" in cli("compare", a, b).stderr


def test_a_fact_that_one_side_does_not_tell_is_named(cli: Cli, tmp_path: Path) -> None:
    a, b = save_ours(tmp_path / "a"), save_ours(tmp_path / "b")
    for path in b.iterdir():
        document = json.loads(path.read_text()) | {"Facts": {"ModelDigest": "12ab"}}
        path.write_text(json.dumps(document))
    done = cli("compare", a, b, code=0)
    assert "Set-ups that may differ:\n  ModelDigest: unknown in A, 12ab in B" in done.stdout


def test_runs_of_different_tensors_are_not_alike(cli: Cli, tmp_path: Path) -> None:
    a = save_ours(tmp_path / "a")
    b = save_ours(tmp_path / "b", shape=(16,), dtype="INT8", data_file=None, data_seed=1)
    done = cli("compare", a, b, code=2)
    assert "tensor: 224 x 224 x 3 FLOAT in A, 16 INT8 in B" in done.stderr


def schedule(**told: object) -> dict[str, object]:
    return {"Kind": "even", "Profile": None, "File": None, "MaxLagSeconds": None} | told


@pytest.mark.parametrize(
    ("b", "words"),
    [
        (None, "arrivals: even in A, closed loop in B"),
        (schedule(Kind="poisson", Seed=1), "arrivals: even in A, poisson in B"),
        (schedule(Profile="10/s for 30s"), "arrivals: even in A, even, 10/s for 30s in B"),
        (
            schedule(MaxLagSeconds=0.1, OnLag="shed"),
            "arrivals: even in A, even, --max-lag 0.1s --on-lag shed in B",
        ),
    ],
)
def test_how_requests_were_due_has_to_be_alike(
    cli: Cli, tmp_path: Path, b: dict[str, object] | None, words: str
) -> None:
    save_ours(tmp_path / "a", arrivals=schedule())
    save_ours(tmp_path / "b", arrivals=b, shed=7, unsent=2)
    done = cli("compare", "a", "b", code=2)
    assert words in done.stderr
    assert "b/0.json has 9 due requests that were not sent, excluded from latencies" in done.stderr


def test_how_requests_were_due_is_told_where_it_is_not_alike(cli: Cli, tmp_path: Path) -> None:
    save_ours(tmp_path / "a", arrivals=schedule())
    save_ours(tmp_path / "b")
    done = cli("report", "a", "b", "--out", "r.html")
    assert "different runs are summarized together: arrivals is" in done.stderr


def test_a_p99_of_few_requests_is_in_no_verdict(cli: Cli, tmp_path: Path) -> None:
    save_ours(tmp_path / "a", seconds=5)
    save_ours(tmp_path / "b", seconds=5, p50_ms=80.0)
    for path in tmp_path.glob("[ab]/*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"Requests": 20}))
    done = cli("compare", "a", "b")
    assert re.search(r"p99 +n/a -> +n/a ms +n/a +not known$", done.stdout, re.MULTILINE)
    assert "no verdict on p99 of runs with fewer than 100 requests" in done.stderr
    code, found = verdicts(cli, tmp_path / "a", tmp_path / "b")
    assert (code, found["p50"], found["p99"]) == (1, "worse", "not known")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([0.085, 0.085, 0.085], [0.170, 0.171, 0.172]),
        ([0.085, 0.085, 0.086], [0.170, 0.170, 0.171]),
        ([0.085] * 5, [0.170, 0.171, 0.171, 0.171, 0.171]),
        ([0.085] * 3, [0.170] * 3),
    ],
)
def test_runs_that_are_equal_by_rounding_have_an_interval(a: list[float], b: list[float]) -> None:
    steps = (0.001 / 0.085, 0.001 / 0.170)
    low, high = ratio_interval(np.log(a), np.log(b), steps)
    ratio = math.exp(np.log(b).mean() - np.log(a).mean())
    assert 0.97 * ratio < low < ratio < high < 1.03 * ratio


def test_more_runs_in_one_bucket_do_not_make_its_step_smaller() -> None:
    few = ratio_interval(np.log([0.010] * 3), np.log([0.011] * 3), (0.1, 0.09))
    many = ratio_interval(np.log([0.010] * 10), np.log([0.011] * 10), (0.1, 0.09))
    assert many == pytest.approx(few)
    assert 1.0 < few[0] < 1.03


@pytest.mark.parametrize(("p50_ms", "deviation"), [(0.085, 0.005), (0.3, 0.003), (20, 0.01)])
def test_rounded_latencies_hold_the_true_ratio_too(p50_ms: float, deviation: float) -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(100):
        a = np.round(p50_ms * np.exp(rng.normal(0, deviation, 3)), 3)
        b = np.round(2 * p50_ms * np.exp(rng.normal(0, deviation, 3)), 3)
        steps = tuple(max(HISTOGRAM_SHARE, 0.001 / one.mean()) for one in (a, b))
        low, high = ratio_interval(np.log(a), np.log(b), (steps[0], steps[1]))
        held += low <= 2 <= high
    assert held >= 88


def test_our_results_and_the_go_tools_are_not_alike(cli: Cli, tmp_path: Path) -> None:
    done = cli("compare", runs(tmp_path / "a", 100, 20), save_ours(tmp_path / "b"), code=2)
    assert "client: aibench in A, aibench-fast in B" in done.stderr


def test_nothing_in_common_is_one_line(cli: Cli, tmp_path: Path) -> None:
    a = runs(tmp_path / "a", 100, 20)
    b = write(tmp_path, "b.json", go_document(8, 0, 1, 100, 20))
    done = cli("compare", a, b, code=2, errors=1)
    assert "A has 4 workers, auto-batching 0, tensor batch 1" in done.stderr


def test_text_is_as_the_golden_file(cli: Cli, tmp_path: Path) -> None:
    a, b = runs(tmp_path / "a", 100, 20, seed=1), runs(tmp_path / "b", 85, 20, seed=2)
    write(a, "only_a.json", go_document(1, 0, 1, 100, 20))
    write(b, "only_b.json", go_document(8, 8, 1, 100, 20))
    done = cli("compare", "a", "b")
    assert done.stdout == (GOLDEN / "compare.txt").read_text()


def test_the_interval_holds_the_true_ratio_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    true_ratio, trials, runs_each = 1.1, 150, 5
    held = 0
    for _ in range(trials):
        a = rng.normal(0.0, 0.05, runs_each)
        b = rng.normal(math.log(true_ratio), 0.05, runs_each)
        low, high = ratio_interval(a, b)
        held += low <= true_ratio <= high
    assert 0.90 <= held / trials <= 0.99


def test_equal_runs_have_an_interval_of_one_point() -> None:
    low, high = ratio_interval(np.zeros(3), np.zeros(3))
    assert low == high == 1.0
