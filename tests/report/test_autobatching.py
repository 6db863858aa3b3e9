"""Results that do not say the model's auto-batching are not repetitions of those that do."""

from html import unescape
from pathlib import Path

import pytest
from commandline import Cli
from resultfiles import go_document, our_result, result_name, write

from aibench_fast.results.groups import ServerFacts

GOLDEN = Path(__file__).parents[1] / "golden"
HTTP = {"server": {"facts": ServerFacts("triton", "2.60.0", "http://localhost:8000")}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of one setting a result that says 0, one that says 32, and two that say nothing."""
    found = tmp_path / "results"
    for name, autobatching, batch_size in (
        ("none", 0, 1), ("many", 32, 1), ("old_1", -1, 1), ("old_2", -1, 1),
        ("none_10", 0, 10), ("old_10", -1, 10),
    ):  # fmt: skip
        our_result(
            autobatching=autobatching, batch_size=batch_size, rate=100.0 + autobatching
        ).save(found / f"{name}.json")
    return found


@pytest.mark.parametrize("how", ["text", "markdown", "csv"])
def test_tables_have_columns_of_their_own_for_them(cli: Cli, folder: Path, how: str) -> None:
    done = cli("tables", "--dir", folder, "--format", how, code=0)
    assert done.stderr == (
        "aibench-fast: old_1.json and 2 more: the model's auto-batching is not known (-1), so they "
        "are kept apart from those of the same settings that say it\n"
    )
    assert done.stdout == (GOLDEN / f"tables_autobatching_unknown_{how}.txt").read_text()


def test_a_server_statistic_is_apart_too(cli: Cli, folder: Path) -> None:
    done = cli("tables", "--dir", folder, "--server-stat", "used_memory_human")
    assert "Tensor-batching 10,Tensor-batching 10 (auto-batching not known)" in done.stdout


def test_a_report_says_so_and_has_series_of_their_own(cli: Cli, folder: Path) -> None:
    done = cli("report", folder, "--out", "page.html")
    assert "kept apart" in done.stderr
    page = unescape((folder.parent / "page.html").read_text())
    assert "old_1.json and 2 more: the model's auto-batching is not known (-1)" in page
    assert "10 (auto-batching not known)" in page


def test_several_that_say_nothing_may_be_of_unlike_models(cli: Cli, tmp_path: Path) -> None:
    for run in (1, 2):
        write(tmp_path / "go", result_name("", (1, -1, 1), run), go_document(1, -1, 1, 9.0, 1.0))
        our_result(autobatching=-1, seed=run).save(tmp_path / "ours" / f"{run}.json")
        our_result(autobatching=-1, seed=run, **HTTP).save(tmp_path / "http" / f"{run}.json")
    for name in ("go", "ours"):
        done = cli("tables", "--dir", name)
        assert done.stderr.count("\n") == 1
        assert "runs of models with different BATCHSIZEs may be taken together" in done.stderr
    assert cli("tables", "--dir", "http").stderr == ""  # such servers have no BATCHSIZE to tell


def test_one_that_says_nothing_is_mistaken_for_nothing(cli: Cli, tmp_path: Path) -> None:
    our_result(autobatching=-1).save(tmp_path / "r" / "1.json")
    our_result(autobatching=0, workers=8).save(tmp_path / "r" / "2.json")
    assert cli("tables", "--dir", "r").stderr == ""


def test_a_comparison_of_what_one_side_does_not_say(cli: Cli, tmp_path: Path) -> None:
    for run in range(3):
        our_result(autobatching=-1, seed=run).save(tmp_path / "a" / f"{run}.json")
        our_result(autobatching=0, seed=run).save(tmp_path / "b" / f"{run}.json")
    done = cli("compare", "a", "b", code=2, errors=1)
    assert "A's results do not say the model's auto-batching (-1), the others do" in done.stderr
    assert "B's results do not say" in cli("compare", "b", "a").stderr
    done = cli("compare", "a", "a", code=0)
    assert "Set-ups that may differ:\n  auto-batching: unknown in A, unknown in B\n" in done.stdout


def test_a_named_servers_results_are_apart_where_some_say_it(cli: Cli, tmp_path: Path) -> None:
    for name, autobatching, server in (
        ("old", -1, "redisai"), ("new", 0, "redisai"), ("http", -1, "triton"),
    ):  # fmt: skip
        changes = HTTP if server == "triton" else {}
        our_result(autobatching=autobatching, name=server, **changes).save(
            tmp_path / "r" / f"{name}.json"
        )
    done = cli("tables", "--dir", "r")
    assert "old.json: the model's auto-batching is not known (-1)" in done.stderr
    throughput = done.stdout.split("##")[1].splitlines()
    assert throughput[1:4] == [
        "Workers,Auto-batching,Tensor-batching,Limit (requests/s),redisai,triton",
        "4,-1,1,0,100.000,n/a",
        "4,0,1,0,100.000,100.000",
    ]
