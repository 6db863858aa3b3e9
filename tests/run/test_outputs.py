"""No output takes the place of what was read, or of another."""

from pathlib import Path

import pytest
from commandline import Cli
from fake_redisai import FakeRedisAI

MIX = '[[request]]\nmodel = "m"\nshape = [4]\n'
HISTOGRAM = "--output-file-stats-hdr-response-latency-hist"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--file", "t.out", "--json-out-file", "t.out"], "--json-out-file t.out is that of the t"),
        (["--file", "t.out", "--verify", "v", HISTOGRAM, "./v"], "v is that of --verify too"),
        (["--input", "x:FLOAT:4=t.out", "--junit", "t.out"], "--junit t.out is that of the tens"),
        (["--shape", 4, "--arrivals-file", "a", "--hdr-log-file", "a"], "a is that of --arrivals-"),
        (
            ["--mix", "mix", "--duration", "1s", "--junit", "mix"],
            "--junit mix is that of --mix too: name another file",
        ),
        (["--shape", 4, "--json-out-file", "x", "--junit", "x"], "x is that of --json-out-file"),
        (["--shape", 4, "--hdr-log-file", "y", HISTOGRAM, "y"], f"y is that of {HISTOGRAM}"),
    ],
)
def test_a_run_replaces_no_file_of_its_own(
    cli: Cli, tmp_path: Path, arguments: list[object], told: str
) -> None:
    held = {"t.out": bytes(602_112), "v": bytes(4004), "a": b"0\n0.1\n", "mix": MIX.encode()}
    for name, content in held.items():
        (tmp_path / name).write_bytes(content)
    with FakeRedisAI() as server:
        done = cli("run", *arguments, "--port", server.port)
        assert server.connections == 0
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert told in done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == held


def test_what_is_read_and_prepared_stays_too(cli: Cli, tmp_path: Path) -> None:
    result = tmp_path / "r.json"
    with FakeRedisAI() as server:
        cli("run", "--shape", 4, "--port", server.port, "--json-out-file", result, code=0)
    before = result.read_bytes()
    for command in (
        ("export", result, "--format", "csv", "--out", result),
        ("report", result, "--out", result),
        ("prepare", "--input", "sample", "--limit", 2, "--output", "q", "--crops-file", "q"),
        ("search", "--slo", "p99=1s", "--mix", "mix", "--junit", "mix"),
    ):
        (tmp_path / "mix").write_text(MIX)
        done = cli(*command, code=2, errors=1)
        assert "name another file" in done.stderr
    assert result.read_bytes() == before
    assert not (tmp_path / "q").exists()


def test_a_tolerance_of_nothing_is_refused(cli: Cli) -> None:
    with FakeRedisAI() as server:
        done = cli("run", "--shape", 4, "--port", server.port, "--tolerance", 1, code=2, errors=1)
    assert "--tolerance 1 without --verify: nothing is compared" in done.stderr


def test_what_a_command_wrote_before_is_written_again(cli: Cli, tmp_path: Path) -> None:
    """Also where a pattern of the shell names it among the results."""
    with FakeRedisAI() as server:
        cli("run", "--shape", 4, "--port", server.port, "--json-out-file", "r.json")
    for _ in range(2):
        cli("export", *tmp_path.glob("*"), "--format", "csv", "--out", "all.csv", code=0)
        assert cli("report", *tmp_path.glob("*"), "--out", "r.html").returncode == 0
