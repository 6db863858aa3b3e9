"""Text files of Windows' editors begin with a byte order mark, which is not part of the text."""

import codecs
import json
from pathlib import Path

import pytest
from commandline import Cli
from fake_redisai import META, FakeRedisAI

from aibench_fast.cli.options.secrets import read_headers, read_password
from aibench_fast.load.arrivals import read_arrivals
from aibench_fast.load.kinds import read_mix
from aibench_fast.tensors import strings


def marked(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(codecs.BOM_UTF8 + text.encode())
    path.chmod(0o600)
    return path


def test_arrivals(tmp_path: Path) -> None:
    assert [*read_arrivals(marked(tmp_path, "a", "0.5\r\n1\r\n"))] == [500_000_000, 1_000_000_000]
    assert [*read_arrivals(marked(tmp_path, "a", "# offsets\n1\n"))] == [1_000_000_000]


def test_a_mix(tmp_path: Path) -> None:
    (kind,) = read_mix(marked(tmp_path, "m", '[[request]]\nmodel = "é"\nshape = [8]\n'))
    assert kind.model == "é"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_password(tmp_path: Path, end: str) -> None:
    assert read_password(marked(tmp_path, "p", f"sécret{end}"), ask=False) == "sécret"


def test_a_header(tmp_path: Path) -> None:
    file = marked(tmp_path, "h", "Bearer a\r\n")
    assert read_headers([f"Authorization: file:{file}"]) == (("Authorization", "Bearer a"),)


@pytest.mark.parametrize("name", ["lines.txt", "lines.jsonl"])
def test_strings(tmp_path: Path, name: str) -> None:
    text = '"one"\r\n"two"\r\n' if name.endswith("l") else "one\r\ntwo\r\n"
    plain = tmp_path / f"plain-{name}"
    plain.write_text(text)
    shape = (1,)
    found = strings.read(marked(tmp_path, name, text), shape)
    assert found.read(0, 2) == strings.read(plain, shape).read(0, 2)


def test_a_grid(cli: Cli, tmp_path: Path) -> None:
    marked(tmp_path, "grid.toml", "workers = [1, 2]\r\n")
    with FakeRedisAI(AI_MODELGET=lambda *_: META) as server:
        done = cli(
            "sweep", "--grid", "grid.toml", "--port", server.port, "--model", "m", "--shape", 8,
            "--dry-run", code=0, errors=0,
        )  # fmt: skip
    assert "2 runs: 0 done, 2 to do" in done.stdout


def test_utf_8_whatever_the_locale_is(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python would read text as the locale's encoding."""
    for name, value in (("LC_ALL", "C"), ("PYTHONUTF8", "0"), ("PYTHONCOERCECLOCALE", "0")):
        monkeypatch.setenv(name, value)
    marked(tmp_path, "grid.toml", 'model = "modèle"\n')
    with FakeRedisAI(AI_MODELGET=lambda *_: META) as server:
        words = ["sweep", "--grid", "grid.toml", "--port", server.port, "--shape", 8]
        cli(*words, code=0)
    (saved,) = tmp_path.glob("results/JSON_*.json")
    assert json.loads(saved.read_bytes())["Model"] == "modèle"
