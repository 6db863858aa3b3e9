"""Signals end every command in every phase: soon, in order, and with what was measured.

Moments are taken at random here; `make moments` takes twenty of each command.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from commandline import command
from dask.distributed import LocalCluster
from fake_redisai import FakeRedisAI
from resultfiles import our_result

from aibench_fast import RunConfig
from aibench_fast.cli.ending import EXIT_INTERRUPTED
from aibench_fast.results.events import Observer, SoFar, ignore
from aibench_fast.results.journal import Journal
from aibench_fast.results.result import Result
from aibench_fast.server import EmbeddedServer
from aibench_fast.studies.runs import run_and_save

GOLDEN = Path(__file__).parents[1] / "golden" / "results"
MOMENTS = int(os.environ.get("MOMENTS", "1"))
"""How many of each command."""
BUSY_S = 0.0 if "MOMENTS" in os.environ else 20.0
"""How much longer all may take where other tests run."""
WAIT_S = 60
CONFIG = RunConfig(file=None, shape=(4,), duration_s=1.0)


class Case(NamedTuple):
    """A command that may be ended."""

    words: list[object]
    lasts_s: float
    """Its moments are from the start of its process until then."""
    codes: frozenset[int] = frozenset({EXIT_INTERRUPTED})
    longest_s: float = 2.0


class Slow(BaseHTTPRequestHandler):
    """A file that comes a byte at a time."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        with suppress(OSError):
            while self.wfile.write(b"-"):
                time.sleep(0.01)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def slow_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/model"
        server.shutdown()


@pytest.fixture
def scheduler() -> Iterator[str]:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster.scheduler_address


TO = ["--port", "PORT", "--model", "null", "--shape", 16]
ENDS_ITSELF = frozenset({0, EXIT_INTERRUPTED})
CASES = {
    "run": Case(["run", *TO, "--duration", "1m", "--json-out-file", "r.json"], 1),
    "repeats": Case(["run", *TO, "--duration", "300ms", "--repeats", 100], 1.2),
    "embedded": Case(["run", "--embedded", "--shape", "224,224,3", "--duration", "1m"], 3),
    "sweep": Case(["sweep", *TO, "--runs", 100, "--duration", "300ms"], 1.2),
    "search": Case(["search", *TO, "--slo", "p99<1s", "--duration", "500ms"], 2),
    "selfcheck": Case(["selfcheck"], 6, ENDS_ITSELF),
    "selfcheck of streams": Case(["selfcheck", "--streams"], 6, ENDS_ITSELF),
    "serve": Case(["serve", "--port", 0], 1, ENDS_ITSELF),
    "serve tokens": Case(["serve", "--kind", "tokens", "--port", 0], 1, ENDS_ITSELF),
    "prepare": Case(
        ["prepare", "--input", "sample", "--limit", 4000, "--output", "t.out"],
        3,
        ENDS_ITSELF,
    ),
    "shards": Case(
        ["prepare", "--input", "sample", "--limit", 4000, "--shards", 4, "--output", "t.out"],
        3,
        ENDS_ITSELF,
    ),
    "model write": Case(["model", "write", "--format", "onnx", "--out", "m"], 1, ENDS_ITSELF),
    "model load": Case(["model", "load", "--port", "PORT", "--model", "m"], 1, ENDS_ITSELF),
    "report": Case(["report", "RESULT", "--out", "report.html"], 4, ENDS_ITSELF),
    "pictures": Case(["report", "RESULT", "--png", "pictures"], 4, ENDS_ITSELF),
    "tables": Case(["tables", "--dir", GOLDEN], 1, ENDS_ITSELF),
    "compare": Case(["compare", "RESULT", "RESULT"], 1, ENDS_ITSELF),
    "export": Case(["export", "RESULT", "--format", "csv"], 1, ENDS_ITSELF),
    "stats": Case(["stats", "--port", "PORT", "--model", "null"], 1, ENDS_ITSELF),
    "fetch": Case(["fetch", "model", "SLOW", "--sha256", "0" * 64, "--out", "m"], 1),
    "recover": Case(["recover", "r.json.journal"], 1, frozenset({1, EXIT_INTERRUPTED})),
    "show": Case(["show", "TENSORS", "--out", "t.png"], 1, ENDS_ITSELF),
    "many clients": Case(
        ["run", *TO, "--duration", "1m", "--workers", 2, "--json-out-file", "r.json",
         "--dask", "SCHEDULER"],
        4,
        longest_s=3.0,
    ),
}  # fmt: skip


def started(words: list[object], folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(*words), cwd=folder, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_signal_ends_a_command_at_any_moment(
    null_server: EmbeddedServer, tmp_path: Path, name: str, request: pytest.FixtureRequest
) -> None:
    case = CASES[name]
    given: dict[str, object] = {"PORT": null_server.port, "RESULT": GOLDEN / "ours_1.2.json"}
    if "SLOW" in case.words:
        given["SLOW"] = request.getfixturevalue("slow_url")
    if "SCHEDULER" in case.words:
        given["SCHEDULER"] = request.getfixturevalue("scheduler")
    if "TENSORS" in case.words:
        given["TENSORS"] = tmp_path / "tensors.out"
        (tmp_path / "tensors.out").write_bytes(bytes(100 * 4 * 224 * 224 * 3))
    words = [given.get(str(word), word) for word in case.words]
    generator = random.Random()
    for moment in range(MOMENTS):
        folder = tmp_path / str(moment)
        folder.mkdir()
        if name == "recover":
            journal = Journal(folder / "r.json.journal")
            journal.add(our_result(incomplete=True, periods={"overall": {}}))
            journal.close()
        after_s = generator.uniform(0, case.lasts_s)
        number = generator.choice([signal.SIGINT, signal.SIGTERM])
        process = started(words, folder)
        wait_for_main(process)
        with suppress(subprocess.TimeoutExpired):
            process.wait(after_s)
        process.send_signal(number)
        asked_s = time.monotonic()
        out, err = process.communicate(timeout=WAIT_S)
        took_s = time.monotonic() - asked_s
        where = f"{number.name} {after_s:.3f} s after the start: {out[-300:]}{err[-300:]}"
        assert process.returncode in case.codes, where
        assert took_s < case.longest_s + BUSY_S, where
        assert "Traceback" not in out + err, where
        assert not list(folder.rglob("*.part")) or name == "fetch", where
        is_saved = (folder / "r.json").exists()
        if "--json-out-file" in words:
            assert ("Run complete" in out) <= is_saved, where
        if name == "recover":
            assert is_saved or (folder / "r.json.journal").exists(), where
        else:
            assert not list(folder.rglob("*.journal")), where


def wait_for_main(process: "subprocess.Popen[str]") -> None:
    """Until the program answers signals: Python's own start is not ours."""
    status = Path(f"/proc/{process.pid}/status")
    caught = 1 << (signal.SIGTERM - 1)
    deadline_s = time.monotonic() + WAIT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        masks = [line.split()[1] for line in status.read_text().splitlines() if "SigCgt" in line]
        if not masks or int(masks[0], 16) & caught:
            return
        time.sleep(0.001)


def test_an_interrupt_after_the_load_keeps_the_result(tmp_path: Path) -> None:
    """The server answers no more, and is waited for: what the run left there is deleted."""
    with FakeRedisAI(DEL=lambda *_: asyncio.sleep(WAIT_S, b":0\r\n")) as stuck:
        process = started(
            ["run", "--port", stuck.port, *TO[2:], "--max-queries", 3, "--json-out-file", "r.json"],
            tmp_path,
        )
        while not stuck.counts["DEL"]:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        asked_s = time.monotonic()
        _, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, err) == (EXIT_INTERRUPTED, "")
    assert time.monotonic() - asked_s < 2 + BUSY_S
    saved = json.loads((tmp_path / "r.json").read_text())
    assert (saved["Successes"], saved["Interrupted"]) == (3, True)


def script(folder: Path, body: str, *, signals: Callable[[int], None]) -> "tuple[str, int]":
    """Run a script that prints a line when it may be sent signals; its output and code."""
    (folder / "script.py").write_text(body)
    with subprocess.Popen(
        [sys.executable, folder / "script.py"], stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        signals(process.pid)
        out, _ = process.communicate(timeout=WAIT_S)
    return out, process.returncode


def test_an_interrupt_that_is_lost_can_be_repeated(tmp_path: Path) -> None:
    def send(pid: int) -> None:
        os.kill(pid, signal.SIGINT)
        time.sleep(0.3)
        os.kill(pid, signal.SIGINT)  # too soon: the end is under way, for all that is known
        time.sleep(1)
        os.kill(pid, signal.SIGINT)

    out, code = script(
        tmp_path,
        "import time\n"
        "from aibench_fast.cli import ending\n"
        "ending.PATIENCE_S = 1.0\n"
        "ending.end_in_order()\n"
        "for attempt in range(2):\n"
        "    try:\n"
        "        if attempt == 0:\n"
        "            print('ready', flush=True)\n"
        "        time.sleep(30)\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted', attempt, flush=True)\n",
        signals=send,
    )
    assert (out, code) == ("interrupted 0\ninterrupted 1\n", 0)


def test_what_is_saved_is_saved_before_a_signal_is_answered(tmp_path: Path) -> None:
    out, code = script(
        tmp_path,
        "import time\n"
        "from aibench_fast.cli.ending import end_in_order\n"
        "from aibench_fast.studies.signals import uninterrupted\n"
        "end_in_order()\n"
        "try:\n"
        "    with uninterrupted():\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(0.5)\n"
        "        print('saved')\n"
        "    print('not reached')\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n",
        signals=lambda pid: os.kill(pid, signal.SIGTERM),
    )
    assert (out, code) == ("saved\ninterrupted\n", 0)


def test_nohup_is_respected(tmp_path: Path) -> None:
    out, code = script(
        tmp_path,
        "import signal, time\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from aibench_fast.cli.ending import end_at_once, end_in_order\n"
        "end_at_once()\n"
        "end_in_order()\n"
        "print('ready', flush=True)\n"
        "time.sleep(0.5)\n"
        "print('goes on')\n",
        signals=lambda pid: os.kill(pid, signal.SIGHUP),
    )
    assert (out, code) == ("goes on\n", 0)


def test_a_signal_between_the_end_of_a_run_and_its_saving(tmp_path: Path) -> None:
    file = tmp_path / "r.json"

    def ended(_: RunConfig, observe: Observer) -> Result:
        observe(SoFar(our_result(incomplete=True, periods={"overall": {}})))
        raise KeyboardInterrupt

    result = run_and_save(ended, CONFIG, "run", file, [], ignore)
    assert result.interrupted
    assert json.loads(file.read_text())["Interrupted"]
    assert [*tmp_path.iterdir()] == [file]


def test_a_signal_before_anything_was_measured(tmp_path: Path) -> None:
    def ended(_: RunConfig, observe: Observer) -> Result:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_and_save(ended, CONFIG, "run", tmp_path / "r.json", [], ignore)
    assert not [*tmp_path.iterdir()]


def test_a_signal_while_a_result_is_saved(tmp_path: Path) -> None:
    file = tmp_path / "r.json"

    def save(result: Result, file: Path) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        result.save(file)

    def run(config: RunConfig, observe: Observer) -> Result:
        assert config.results_so_far
        result = our_result(periods={"overall": {}})
        observe(SoFar(result))
        return result

    assert run_and_save(run, CONFIG, "run", file, [], ignore, save).interrupted
    assert not json.loads(file.read_text())["Interrupted"]  # the run came to its end
    assert [*tmp_path.iterdir()] == [file]
