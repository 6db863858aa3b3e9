"""The report as files: what of it is read without a browser."""

import sys
from html import escape
from pathlib import Path
from typing import Any

import pytest
from commandline import Cli, completed
from PIL import Image
from reportfolders import searched, sweep
from resultfiles import our_result, write

from aibench_fast.report.content import MAX_PERIODS, _thinned
from aibench_fast.results.details import TimelinePoint


@pytest.mark.parametrize(
    ("changes", "held", "value", "of"),
    [
        ({"confirmed": False}, [1, 2], "2 workers", "p99<=1s and rate>=5 holds; not confirmed"),
        ({"fails_at": 1.0}, [], "none ", "p99<=1s and rate>=5 held at no value; not at 1"),
    ],
)
def test_an_answer_that_is_none_or_not_sure_says_so(
    cli: Cli, tmp_path: Path, changes: dict[str, Any], held: list[int], value: str, of: str
) -> None:
    searched(tmp_path / "search", ["p99<=1s", "rate>=5"], held, **changes)
    assert cli("report", "search", "--out", "report.html").returncode == 0
    page = (tmp_path / "report.html").read_text().replace("<span class=unit>", "")
    assert f"<p class=value>{value}</span></p><p class=of>{escape(of)}</p>" in page


def test_runs_that_are_over_in_a_period_are_not_drawn_over_time(cli: Cli, tmp_path: Path) -> None:
    for workers in (1, 2):
        our_result(workers=workers, seconds=1, burn_in_s=0).save(tmp_path / f"r/{workers}.json")
    assert cli("report", "r", "--png", "plots").returncode == 0
    assert sorted(path.stem for path in (tmp_path / "plots").iterdir()) == [
        "latency-percentiles", "throughput-auto-batching",
    ]  # fmt: skip


def test_the_results_of_one_named_server_have_a_report(cli: Cli, tmp_path: Path) -> None:
    our_result(name="triton").save(tmp_path / "r.json")
    cli("report", "r.json", "--png", "plots", code=0)
    assert (tmp_path / "plots" / "servers-throughput.png").exists()


def test_no_servers_name_leads_out_of_the_folder_of_pictures(cli: Cli, tmp_path: Path) -> None:
    for workers, batch_size in ((1, 1), (2, 1), (1, 8), (2, 8)):
        result = our_result(workers=workers, batch_size=batch_size, name="/../../a/b")
        result.save(tmp_path / f"r/{workers}_{batch_size}.json")
    assert cli("report", "r", "--png", "plots").returncode == 0
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert "throughput--..-..-a-b-tensor-batching.png" in names
    assert {path.name for path in tmp_path.iterdir()} == {"r", "plots"}


def test_doubts_of_one_kind_are_one_line(cli: Cli, tmp_path: Path) -> None:
    for number in range(1, 6):
        document = our_result(workers=number, failures=number).to_json()
        first = f"ERR at {number} ms"
        document["Failures"]["error_reply"]["FirstMessage"] = first
        write(tmp_path / "r", f"{number}.json", document)
    assert cli("report", "r", "--out", "report.html").returncode == 0
    page = (tmp_path / "report.html").read_text()
    assert "<li>1.json and 4 more: 15 error_reply, first: ERR at 1 ms</li>" in page
    assert page.count("error_reply, first:") == 1


def test_command_lines_are_shown_as_they_are(cli: Cli, tmp_path: Path) -> None:
    for number, typed in enumerate(("run --file a.out", ["run", "--file", "my a.out"], 6174)):
        document = our_result(workers=number + 1).to_json() | {"Facts": {"CommandLine": typed}}
        write(tmp_path / "r", f"{number}.json", document)
    assert cli("report", "r", "--out", "report.html").returncode == 0
    page = (tmp_path / "report.html").read_text()
    for words in ("run --file a.out", "run --file &#39;my a.out&#39;", "6174"):
        assert words in page


def test_pictures_are_the_same_plots(cli: Cli, tmp_path: Path) -> None:
    sweep(tmp_path / "results")
    cli("report", "results", "--png", "plots", code=0)
    written = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert written == [
        "heatmap-auto-batching.png",
        "heatmap-tensor-batching.png",
        "latency-over-time.png",
        "latency-percentiles.png",
        "server-cpu.png",
        "throughput-auto-batching.png",
        "throughput-over-time.png",
        "throughput-tensor-batching.png",
    ]
    for name in written:
        with Image.open(tmp_path / "plots" / name) as picture:
            assert picture.width >= 1800
            assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 20


def test_nothing_to_write_is_one_line(cli: Cli, tmp_path: Path) -> None:
    our_result().save(tmp_path / "r.json")
    done = cli("report", "r.json", code=2, errors=1)
    assert "give --out for a page, or --png for pictures" in done.stderr


@pytest.mark.parametrize(
    ("module", "package"), [("vl_convert", "vl-convert-python"), ("jinja2", "Jinja2")]
)
def test_without_a_package_of_the_extra_it_says_what_to_install(
    tmp_path: Path, module: str, package: str
) -> None:
    our_result().save(tmp_path / "r.json")
    program = (
        f"import sys; sys.modules['{module}'] = None\n"
        "from aibench_fast.cli import main\n"
        "sys.exit(main(['report', 'r.json', '--out', 'report.html']))"
    )
    done = completed(sys.executable, "-c", program, code=2, errors=1, cwd=tmp_path)
    assert f"needs {package}, which is not installed: pip install 'aibench-fast[report]'" in (
        done.stderr
    )
    assert not (tmp_path / "report.html").exists()


def test_a_stall_of_one_period_of_many_is_in_the_picture() -> None:
    points = [
        TimelinePoint(
            unix_ms=1000 * second, rate=10.0, measured=True, failed=1,
            quantiles_ms={"q50": 2.0, "q99": 5000.0 if second == 100 else 5.0},
        )
        for second in range(3600)
    ]  # fmt: skip
    drawn = _thinned(points)
    assert len(drawn) <= MAX_PERIODS
    assert max(one.quantiles_ms["q99"] for one in drawn) == 5000
    assert max(one.quantiles_ms["q50"] for one in drawn) == 2
    assert sum(one.failed for one in drawn) == 3600
