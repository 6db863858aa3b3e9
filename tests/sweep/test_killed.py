"""Runs and sweeps that are killed, and disks that are full: what is left of results."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ci import examples
from commandline import Cli, as_process, command, completed, without_coverage
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from aibench_fast.results.files import read_record
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.server import EmbeddedServer

KILLS = examples(100)
KILLED_SWEEPS = Path(__file__).with_name("killed_sweeps.py")
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "result.schema.json").read_text())


def run_words(server: EmbeddedServer, *more: object) -> list[str]:
    return command(
        "run", "--port", server.port, "--model", "null", "--shape", 16, "--workers", 3,
        "--burn-in", 20, "--reporting-period", "200ms", "--duration", "10m",
        "--json-out-file", "r.json", *more,
    )  # fmt: skip


def conserves(document: dict[str, Any]) -> bool:
    """Whether a result's counts of requests add up."""
    every = document["AllRequests"]
    failed = sum(
        one["Count"]
        for section in ("Failures", "BurnInFailures")
        for one in document[section].values()
    )
    return bool(
        every["Sent"] == every["Succeeded"] + every["Failed"] + every["Cancelled"]
        and every["Succeeded"] + every["Failed"]
        == document["BurnInRequests"] + document["Requests"]
        and every["Failed"] == failed
    )


def test_a_killed_run_is_recovered_up_to_its_last_period(
    cli: Cli, server: EmbeddedServer, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        run_words(server, "--hdr-log-file", "r.hlog"),
        cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    printed: list[list[str]] = []
    while len(printed) < 4:
        line = process.stdout.readline()
        assert line, "the run ended"
        if line[0].isdecimal():
            printed.append(line.split(","))
    process.kill()
    process.communicate()
    assert {path.name for path in tmp_path.iterdir()} == {"r.json.journal", "r.hlog.partial"}

    done = cli("recover", "r.json.journal", code=1, errors=0)
    assert "Run complete after " in done.stdout
    assert "Warning: the run was killed" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"r.json", "r.hlog.partial"}
    saved = json.loads((tmp_path / "r.json").read_text())
    jsonschema.validate(saved, SCHEMA)
    assert (saved["Interrupted"], saved["Incomplete"]) == (True, True)
    periods = saved["ClientRunTimeStats"]
    assert len(periods) >= 3  # the last line that was read may have come before its period's
    for line, (unix_ms, period) in zip(printed, periods.items(), strict=False):
        assert [int(word) for word in line[:2]] == [int(unix_ms), period["totalImages"]]
    assert conserves(saved)
    latencies = LatencyHistogram.decode(saved["OverallQuantiles"]["EncodedHistogram"])
    assert latencies.count == saved["Successes"] == saved["Inferences"] > 0
    assert saved["AllRequests"]["Cancelled"] <= 3
    last = [*periods.values()][-1]
    assert last["requests"] == saved["BurnInRequests"] + saved["Requests"]
    assert 0 < saved["ClientCpuSeconds"] < saved["DurationMillis"] / 1000 * 2
    record = read_record(tmp_path / "r.json")
    assert record.interrupted
    assert any("killed" in one for one in record.warnings)

    reader = HistogramLogReader(str(tmp_path / "r.hlog.partial"), HdrHistogram(1, 3_600_000_000, 3))
    logged = 0
    while (interval := reader.get_next_interval_histogram()) is not None:
        logged += interval.get_total_count()
    reader.close()
    assert logged == saved["Successes"]


def test_a_run_that_ends_leaves_no_journal(
    cli: Cli, server: EmbeddedServer, tmp_path: Path
) -> None:
    (tmp_path / "r-1.json.journal").write_text("of a run that was killed")
    words = run_words(server, "--hdr-log-file", "r.hlog", "--repeats", 2, "--duration", "0.5s")
    cli(*words[3:], code=0, errors=0)
    assert {path.name for path in tmp_path.iterdir()} == {
        "r.json", "r-1.json", "r-2.json", "r.hlog",
    }  # fmt: skip
    saved = json.loads((tmp_path / "r-2.json").read_text())
    assert (saved["Interrupted"], saved["Incomplete"]) == (False, False)
    assert conserves(saved)


def test_on_a_full_disk_the_result_goes_to_standard_output(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    done = completed(
        *run_words(server, "--hdr-log-file", "r.hlog", "--duration", "0.7s", "--quiet"), code=2,
        cwd=tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
        env=without_coverage(),
    )  # fmt: skip
    (saved,) = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    jsonschema.validate(saved, SCHEMA)
    assert saved["Successes"] > 0
    assert not saved["Incomplete"]
    assert "Run complete after " in done.stdout
    told = done.stderr.splitlines()
    assert sum("the run goes on, but cannot write r.json.journal" in line for line in told) == 1
    assert sum("the run goes on, but cannot write r.hlog" in line for line in told) == 1
    assert "the result cannot be saved: it is a line of standard output" in told[-2]
    assert "cannot write r.json: File too large" in told[-1]
    assert len(told) == 4
    assert {path.name for path in tmp_path.iterdir()} <= {"r.hlog.partial"}


def test_a_sweep_on_a_full_disk_prints_its_result(server: EmbeddedServer, tmp_path: Path) -> None:
    done = as_process(
        tmp_path, "sweep", "--port", server.port, "--model", "null", "--shape", 16,
        "--max-queries", 300, "--limit-rps", 500, "--reporting-period", "50ms", code=2,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300)),
        env=without_coverage(),
    )  # fmt: skip
    assert json.loads(done.stdout)["Successes"] == 300
    assert done.stderr.count("\n") == 4
    assert done.stderr.count("the run goes on, but cannot write results/RAW_") == 1
    assert done.stderr.count("the run goes on, but cannot write results/JSON_") == 1
    assert [path.name[:4] for path in (tmp_path / "results").iterdir()] == ["RAW_"]


@pytest.mark.timeout(300)  # a hundred sweeps begin in CI, where the machine may be busy
def test_sweeps_killed_at_any_moment_are_as_undisturbed_ones(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    done = completed(sys.executable, KILLED_SWEEPS, server.port, tmp_path, KILLS, "1", timeout=280)
    sweeps = json.loads(done.stdout)
    assert [one["wrong"] for one in sweeps] == [[]] * len(sweeps), done.stderr
    assert sum(one["kills"] for one in sweeps) == KILLS
    names = {path.name for path in (tmp_path / "undisturbed").iterdir()}
    assert len(names) == 2 * 3
    for one in sweeps:
        folder = tmp_path / one["folder"]
        assert {path.name for path in folder.iterdir()} == names
        for file in folder.glob("JSON_*.json"):
            saved = json.loads(file.read_text())
            assert (saved["Successes"], saved["Interrupted"]) == (10, False)
            assert conserves(saved)
