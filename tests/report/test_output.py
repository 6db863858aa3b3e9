"""Standard output that refuses what is printed: nothing is lost, and it is one line."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import Cli, command, completed
from fake_redisai import META, OK, FakeRedisAI
from resultfiles import our_result

REFUSED = "aibench-fast: cannot write to standard output: No space left on device\n"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeRedisAI]:
    with FakeRedisAI() as running:
        yield running


def shell(
    folder: Path, script: str, *words: object, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command, "$@" of the script, in a shell."""
    return completed(
        "bash", "-c", script, "bash", *command(*words), code=None, cwd=folder,
        env={**os.environ, **environment},
    )  # fmt: skip


def run_words(server: FakeRedisAI, *more: object) -> list[object]:
    return [
        "run", "--port", server.port, "--model", "modèle", "--shape", 16, "--max-queries", 30,
        *more,
    ]  # fmt: skip


def test_a_full_standard_output_loses_no_result(server: FakeRedisAI, tmp_path: Path) -> None:
    words = run_words(server, "--json-out-file", "r.json")
    done = shell(tmp_path, '"$@" > /dev/full', *words)
    assert (done.returncode, done.stderr) == (0, REFUSED)
    assert [file.name for file in tmp_path.iterdir()] == ["r.json"]
    assert json.loads((tmp_path / "r.json").read_text())["Successes"] == 30


def test_a_summary_that_is_nowhere_else_goes_to_standard_error(
    server: FakeRedisAI, tmp_path: Path
) -> None:
    done = shell(tmp_path, '"$@" > /dev/full', *run_words(server, "--quiet"))
    assert done.returncode == 0
    assert done.stderr.startswith(REFUSED)
    assert "Run complete after 30 inferences" in done.stderr


def test_the_exit_code_is_the_runs(tmp_path: Path) -> None:
    with FakeRedisAI(AI_MODELRUN=lambda *_: b"-ERR no\r\n") as server:
        server.behave("AI.MODELRUN", lambda _, number: b"-ERR no\r\n" if number > 3 else OK)
        words = run_words(server, "--json-out-file", "r.json")
        done = shell(tmp_path, '"$@" > /dev/full', *words)
    assert (done.returncode, done.stderr) == (1, REFUSED)
    assert not (tmp_path / "r.json.journal").exists()


def test_names_that_standard_output_cannot_show_are_escaped(
    server: FakeRedisAI, tmp_path: Path
) -> None:
    words = run_words(server, "--json-out-file", "r.json")
    done = shell(tmp_path, '"$@"', *words, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert r"mod\xe8le" in done.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["r.json"]


def test_a_file_name_that_is_no_text_is_shown(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"r\xff.json")
    our_result().save(file)
    done = shell(tmp_path, '"$@"', "tables", "--dir", tmp_path, "--format", "csv")
    assert (done.returncode, done.stderr) == (0, "")
    exported = shell(tmp_path, '"$@"', "export", file, "--format", "openmetrics")
    assert exported.returncode == 0, exported.stderr
    assert r"r\\udcff.json" in exported.stdout  # a backslash in a label is doubled


@pytest.mark.parametrize(
    "words",
    [
        ["tables", "--dir", "."],
        ["tables", "--dir", ".", "--format", "json"],
        ["export", ".", "--format", "csv"],
        ["compare", "r.json", "r.json"],
    ],
    ids=str,
)
def test_a_command_that_prints_its_result_fails(tmp_path: Path, words: list[str]) -> None:
    our_result().save(tmp_path / "r.json")
    done = shell(tmp_path, '"$@" > /dev/full', *words)
    assert done.returncode == 2
    assert done.stderr.count(REFUSED) == 1
    gone = shell(tmp_path, '"$@" | true; exit ${PIPESTATUS[0]}', *words)
    assert gone.returncode == 0
    assert "this is a bug" not in gone.stderr
    assert "Broken pipe" not in gone.stderr


def test_a_sweep_into_a_full_standard_output_is_saved(tmp_path: Path) -> None:
    with FakeRedisAI(AI_MODELGET=lambda *_: META) as server:
        words = [
            "sweep", "--port", server.port, "--model", "m", "--shape", 16, "--max-queries", 30,
            "--workers", "1,2",
        ]  # fmt: skip
        done = shell(tmp_path, '"$@" > /dev/full', *words)
    assert (done.returncode, done.stderr) == (0, REFUSED)
    assert len(list(tmp_path.glob("results/JSON_*"))) == 2
    assert not list(tmp_path.glob("results/*.journal"))


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "2>&-", "<&- >&-", "2> /dev/full"])
def test_streams_that_are_closed_lose_no_result(
    server: FakeRedisAI, tmp_path: Path, closed: str
) -> None:
    words = run_words(server, "--json-out-file", "r.json")
    done = shell(tmp_path, f'"$@" {closed}', *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((tmp_path / "r.json").read_text())["Successes"] == 30
    failed = shell(tmp_path, f'"$@" {closed}', "run", "--shape", 16, "--file", "nothing")
    assert (failed.returncode, failed.stdout) == (2, "")


def test_an_error_goes_to_standard_error_alone(cli: Cli) -> None:
    assert cli("run").stdout == ""


PRINTS_AND_IS_INTERRUPTED = """
import time
from aibench_fast.cli.ending import end_in_order
from aibench_fast.cli.output import open_streams
open_streams()
for number in range(300):
    end_in_order()
    try:
        print(number, flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        pass
"""


def test_what_is_printed_as_a_signal_arrives_is_printed_once() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PRINTS_AND_IS_INTERRUPTED], stdout=subprocess.PIPE, text=True
    ) as process:
        lines = []
        for line in process.stdout:
            lines.append(int(line))
            process.send_signal(signal.SIGINT)
    assert lines == [*range(300)]
