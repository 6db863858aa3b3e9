"""The parts of a run with figures of their own: steps, kinds, servers; in the report's table."""

import re
from html import unescape
from pathlib import Path

from commandline import Cli
from fake_redisai import FakeRedisAI

MIX = """
[[request]]
model = "a"
shape = [16]
weight = 3

[[request]]
model = "b<i>"
shape = [4]
"""


def rows(page: Path) -> list[list[str]]:
    """Of the table of parts."""
    (section,) = re.findall(r'<section id="parts">(.*?)</section>', page.read_text(), re.DOTALL)
    found = re.findall(r"<tr>(<td>.*?)</tr>", section)
    return [[unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", row)] for row in found]


def test_steps_kinds_and_servers_are_in_the_report(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mix.toml").write_text(MIX)
    with FakeRedisAI() as one, FakeRedisAI() as other:
        cli(
            "run", "--host", f"127.0.0.1:{one.port},127.0.0.1:{other.port}", "--mix", "mix.toml",
            "--workers", 4, "--profile", "400/s for 500ms, 0/s for 100ms, 100/s for 200ms",
            "--quiet", "--json-out-file", "r.json", code=0,
        )  # fmt: skip
    assert cli("report", "r.json", "--out", "page.html").returncode == 0
    assert "<h3>4 workers, tensor batch 1</h3>" in (tmp_path / "page.html").read_text()
    found = rows(tmp_path / "page.html")
    assert [(row[0], row[2]) for row in found[:3]] == [
        ("Step", "200"),
        ("Step", "0"),
        ("Step", "20"),
    ]
    step, empty, few = found[:3]
    assert step[1] == "400/s for 500ms"
    assert "n/a" not in step
    assert empty[4:6] == ["n/a", "n/a"]
    assert few[4] != "n/a" and few[5] == "n/a"  # p99 of 20 requests is not known
    kinds = [row for row in found if row[0] == "Kind"]
    assert [row[1].split(",")[0] for row in kinds] == ["a", "b<i>"]
    servers = [row for row in found if row[0] == "Server"]
    assert [row[1] for row in servers] == [f"127.0.0.1:{one.port}", f"127.0.0.1:{other.port}"]
    for parts in (found[:3], kinds, servers):
        assert sum(int(row[2]) for row in parts) == 220


def test_a_run_of_one_sort_has_no_parts(cli: Cli, tmp_path: Path) -> None:
    with FakeRedisAI() as server:
        done = cli("run", "--port", server.port, "--shape", 16, "--max-queries", 50, "--quiet",
                   "--json-out-file", "r.json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert cli("report", "r.json", "--out", "page.html").returncode == 0
    assert 'id="parts"' not in (tmp_path / "page.html").read_text()
