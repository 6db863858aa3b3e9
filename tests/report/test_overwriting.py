"""No command writes over what it reads, or writes two things into one file."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import Cli
from fake_redisai import META, FakeRedisAI
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from resultfiles import our_result

from aibench_fast.tensors.photographs import SAMPLE_FOLDER

RUN = ["run", "--port", 1, "--model", "m", "--shape", 8]
SWEEP = ["sweep", "--port", 1, "--model", "m", "--shape", 8]
SEARCH = ["search", "--port", 1, "--model", "m", "--shape", 8, "--slo", "p99<9ms"]
TENSORS = ["--file", "in/tensors.out", "--shape", 8]
READ_AND_WRITTEN = {
    "run": [*RUN[:5], *TENSORS, "--json-out-file", "in/tensors.out"],
    "run, its table": [
        *RUN[:5], *TENSORS, "--output-file-stats-hdr-response-latency-hist", "in/tensors.out",
    ],
    "run, its log": [*RUN, "--arrivals-file", "in/arrivals", "--hdr-log-file", "in/arrivals"],
    "run, its journal": [*RUN, "--arrivals-file", "in/a.journal", "--json-out-file", "in/a"],
    "run, its number": [
        *RUN, "--arrivals-file", "in/a-2.json", "--json-out-file", "in/a.json", "--repeats", 3,
    ],
    "run, a log meanwhile": [*RUN, "--arrivals-file", "in/a.partial", "--hdr-log-file", "in/a"],
    "run, a password": [*RUN, "--password-file", "in/secret", "--junit", "in/secret"],
    "run, a header": [
        "run", "--url", "http://127.0.0.1:1", "--model", "m", "--shape", 8,
        "--header", "Authorization: file:in/secret", "--json-out-file", "in/secret",
    ],
    "run, a mix": ["run", "--port", 1, "--mix", "in/mix", "--junit", "in/mix"],
    "sweep": [*SWEEP[:5], *TENSORS, "--junit", "in/tensors.out"],
    "sweep, its grid": [*SWEEP, "--grid", "in/grid.toml", "--junit", "in/grid.toml"],
    "search": [*SEARCH[:5], *TENSORS, *SEARCH[7:], "--junit", "in/tensors.out"],
    "prepare": ["prepare", "--input", "in/photographs.zip", "--output", "in/photographs.zip"],
    "prepare, its crops": [
        "prepare", "--input", "in/photographs.zip", "--output", "new",
        "--crops-file", "in/photographs.zip",
    ],
    "prepare, a photograph": [
        "prepare", "--input", "in/photographs", "--output", "in/photographs/one.jpg",
    ],
    "show": ["show", "in/sheet.png", "--out", "in/sheet.png"],
    "report": ["report", "in/r.json", "--out", "in/r.json"],
    "report of a folder": ["report", "in/results", "--out", "in/results/r.json"],
    "export": ["export", "in/r.json", "--format", "csv", "--out", "in/r.json"],
    "recover": ["recover", "in/r.journal", "--json-out-file", "in/r.journal"],
}  # fmt: skip
WRITTEN_TWICE = {
    "run": [*RUN, "--json-out-file", "out", "--junit", "out"],
    "run, its journal": [*RUN, "--json-out-file", "out", "--hdr-log-file", "out.journal"],
    "run, its log": [*RUN, "--hdr-log-file", "out", "--json-out-file", "out.partial"],
    "search": [*SEARCH, "--results-dir", "out", "--junit", "out/search.json"],
    "prepare": ["prepare", "--input", "sample", "--output", "out", "--crops-file", "out"],
}  # fmt: skip
DIRECTORIES = {
    "run": [*RUN, "--json-out-file", "in"],
    "run, its test cases": [*RUN, "--junit", "in"],
    "sweep": [*SWEEP, "--junit", "in"],
    "search": [*SEARCH, "--junit", "in"],
    "prepare": ["prepare", "--input", "sample", "--output", "in"],
    "report": ["report", "in/r.json", "--out", "in"],
    "report, its pictures": ["report", "in/r.json", "--png", "in/secret"],
    "export": ["export", "in/r.json", "--format", "csv", "--out", "in"],
    "recover": ["recover", "in/r.journal", "--json-out-file", "in"],
    "selfcheck": ["selfcheck", "--json-out-file", "in"],
    "model": ["model", "write", "--format", "onnx", "--out", "in"],
    "fetch": ["fetch", "model", "http://127.0.0.1:1/m", "--sha256", "0" * 64, "--out", "in"],
}


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """The files that the commands above read."""
    folder = tmp_path / "in"
    (folder / "photographs").mkdir(parents=True)
    (folder / "results").mkdir()
    photograph = min(SAMPLE_FOLDER.glob("*.jpg"))
    shutil.copy(photograph, folder / "photographs" / "one.jpg")
    with zipfile.ZipFile(folder / "photographs.zip", "w") as archive:
        archive.write(photograph, "one.jpg")
    for name in ("tensors.out", "sheet.png"):
        (folder / name).write_bytes(bytes(8 * 4 * 10))
    for name in ("arrivals", "a.journal", "a-2.json", "a.partial"):
        (folder / name).write_text("0\n1\n")
    (folder / "secret").write_text("secret")
    (folder / "secret").chmod(0o600)
    (folder / "mix").write_text('[[request]]\nmodel = "m"\nshape = [8]\n')
    (folder / "grid.toml").write_text("workers = [1]\n")
    our_result().save(folder / "r.json")
    our_result().save(folder / "results" / "r.json")
    (folder / "r.journal").write_text("x")
    return folder


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(cli: Cli, words: list[object], folder: Path) -> str:
    """Return the message of a refused command, which changes nothing and starts nothing."""
    before = content(folder)
    done = cli(*words, code=2)
    assert done.stderr.count("\n") == 1
    assert content(folder) == before
    return done.stderr


@pytest.mark.parametrize("name", READ_AND_WRITTEN)
def test_what_is_read_is_not_written_over(cli: Cli, inputs: Path, name: str) -> None:
    assert " too: name another file" in refused(cli, READ_AND_WRITTEN[name], inputs)


def linked(path: Path, link: Callable[[Path, Path], None]) -> Path:
    other = path.with_name(f"other-{path.name}")
    link(other, path)
    return other


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
@pytest.mark.parametrize("name", ["run", "sweep", "search", "prepare", "show", "report", "export"])
def test_a_link_is_what_it_leads_to(
    cli: Cli, inputs: Path, name: str, link: Callable[[Path, Path], None]
) -> None:
    *words, last = READ_AND_WRITTEN[name]
    other = linked(inputs.parent / str(last), link)
    assert " too: name another file" in refused(cli, [*words, other], inputs)


@pytest.mark.parametrize("name", WRITTEN_TWICE)
def test_two_outputs_are_not_one_file(cli: Cli, tmp_path: Path, name: str) -> None:
    assert " too: name another file" in refused(cli, WRITTEN_TWICE[name], tmp_path)


def test_a_sweep_does_not_write_its_test_cases_into_a_result(cli: Cli, tmp_path: Path) -> None:
    name = "RAW_redisai__cpu_run_1_workers_1_autobatching_0_tensorbatchsize_1_rate_0.txt"
    with FakeRedisAI(AI_MODELGET=lambda *_: META) as server:
        words = [*SWEEP[:1], "--port", server.port, *SWEEP[3:], "--junit", f"results/{name}"]
        assert " too: name another file" in refused(cli, words, tmp_path)
        assert server.counts["AI.TENSORSET"] == 0


@pytest.mark.parametrize("name", DIRECTORIES)
def test_a_folder_is_no_output(cli: Cli, inputs: Path, name: str) -> None:
    assert "cannot write" in refused(cli, DIRECTORIES[name], inputs)


def test_a_report_may_be_among_the_results(cli: Cli, inputs: Path) -> None:
    for _ in range(2):
        cli("report", "in/results", "--out", "in/results/report.html", "--quiet", code=0)


def test_results_of_one_name_are_series_of_their_own(cli: Cli, tmp_path: Path) -> None:
    for folder in ("before", "after"):
        (tmp_path / folder).mkdir()
        our_result().save(tmp_path / folder / "r.json")
    done = cli("export", "before", "after", "--format", "openmetrics", code=0)
    for family in text_string_to_metric_families(done.stdout):
        series = [tuple(sorted(sample.labels.items())) for sample in family.samples]
        assert len(series) == len(set(series)) > 0
        assert {sample.labels["path"] for sample in family.samples} == {
            "before/r.json", "after/r.json",
        }  # fmt: skip
