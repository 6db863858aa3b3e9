"""A canary: a secret that is looked for in all that commands print, write and show."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import command, completed
from fake_inference import FakeInference
from redisclient import load_into

from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.server import EmbeddedServer

CANARY = "canary-7f3a9c"
"""The password, and a header's value."""
ASKED = ("--model", "null", "--shape", 4, "--max-queries", 200, "--burn-in", 10)
HEADER = ("--header", "Authorization: env:TOKEN", "--header", f"X-Other: {CANARY}")


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(password=CANARY) as running:
        load_into(running.address, ModelSpec(name="null", backend=Backend.NULL))
        yield running


@pytest.fixture
def run_it(tmp_path: Path) -> Iterator["Watched"]:
    watched = Watched(tmp_path)
    yield watched
    watched.check_files()


class Watched:
    """Runs commands whose every trace is searched."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, *words: object, shown: bool = False) -> "subprocess.Popen[str]":
        """Run a command with the secrets in its environment; `shown`: one is typed as well."""
        process = subprocess.Popen(
            command(*words),
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "AIBENCH_PASSWORD": CANARY, "TOKEN": CANARY},
        )
        seen: set[bytes] = set()

        def look() -> None:
            while process.poll() is None:
                seen.add(Path(f"/proc/{process.pid}/cmdline").read_bytes())
                time.sleep(0.05)

        looking = threading.Thread(target=look)
        looking.start()
        out, err = process.communicate(timeout=100)
        looking.join()
        assert CANARY not in out + err
        assert shown or not [line for line in seen if CANARY.encode() in line]
        process.said = err  # type: ignore[attr-defined]
        return process

    def check_files(self) -> None:
        for file in self._folder.rglob("*"):
            if file.is_file():
                assert CANARY.encode() not in file.read_bytes(), file


def test_commands_that_go_well(server: EmbeddedServer, run_it: Watched) -> None:
    where = ("--port", server.port)
    for words in (
        ("model", "load", *where, "--backend", "NULL", "--model", "other"),
        ("run", *where, *ASKED, "--json-out-file", "r/one.json", "--hdr-log-file", "log"),
        ("sweep", *where, *ASKED, "--workers", 1, "--results-dir", "r"),
        ("search", *where, "--model", "null", "--shape", 4, "--over", "workers", "--to", 2,
         "--slo", "p99=10s", "--duration", "200ms", "--burn-in", 10, "--results-dir", "s"),
        ("stats", *where, "--model", "null"),
        ("report", "r", "--out", "report"),
    ):  # fmt: skip
        (run_it._folder / "r").mkdir(exist_ok=True)
        done = run_it(*words)
        assert (words[0], done.returncode) == (words[0], 0), done.said  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "words",
    [
        ("run", *ASKED, "--user", "nobody"),
        ("run", *ASKED[2:], "--model", "none"),
        ("run", *ASKED, "--url", "redis://127.0.0.1:1"),
        ("stats", "--model", "none"),
        ("sweep", *ASKED, "--workers", 1, "--user", "nobody"),
    ],
)
def test_commands_that_fail(
    server: EmbeddedServer, run_it: Watched, words: tuple[object, ...]
) -> None:
    where = () if "--url" in words else ("--port", server.port)
    assert run_it(*words, *where, "--debug").returncode != 0


@pytest.mark.parametrize(
    "words",
    [("--max-queries", 100, "--json-out-file", "r.json"), ("--model", "none", "--debug")],
)
def test_headers(run_it: Watched, words: tuple[object, ...]) -> None:
    with FakeInference() as server:
        model = () if "--model" in words else ("--model", "m")
        done = run_it("run", "--url", server.url, *model, *HEADER, *words, shown=True)
        assert (done.returncode == 0) == ("--debug" not in words)
        if server.asked:
            assert server.asked[-1].headers["authorization"] == CANARY


def test_a_secret_header_is_not_taken_from_the_command_line(run_it: Watched) -> None:
    typed = f"authorization: Bearer {CANARY}"
    done = run_it("run", "--url", "http://localhost", "--header", typed, shown=True)
    assert done.returncode == 2
    assert "give 'authorization: env:VARIABLE'" in done.said  # type: ignore[attr-defined]


def test_a_password_file_that_others_can_read_is_warned_of(
    server: EmbeddedServer, run_it: Watched, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("secret") / "password"
    file.write_text(CANARY + "\n")
    for mode, is_told in ((0o644, True), (0o600, False)):
        file.chmod(mode)
        done = run_it("stats", "--port", server.port, "--model", "null", "--password-file", file)
        assert (f"{file}: others can read it" in done.said) == is_told  # type: ignore[attr-defined]


def test_a_process_that_holds_a_password_cannot_be_dumped(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    program = (
        "import ctypes, sys\n"
        "from aibench_fast.cli import main\n"
        "before = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)\n"  # PR_GET_DUMPABLE
        "main(sys.argv[1:])\n"
        "print(before, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
    )
    words = command("stats", "--port", server.port, "--model", "null")
    done = completed(
        words[0], "-c", program, *words[3:], cwd=tmp_path,
        env={**os.environ, "AIBENCH_PASSWORD": CANARY},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "1 0"
