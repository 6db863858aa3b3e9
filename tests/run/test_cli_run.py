"""`aibench-fast run` as a user types it: what it prints, saves, refuses, and how it ends."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from commandline import Cli, command, completed
from fake_redisai import OK, FakeRedisAI

from aibench_fast import cli as cli_package
from aibench_fast.results.histogram import LatencyHistogram

Completed = subprocess.CompletedProcess[str]


def masked(text: str) -> str:
    """A run's output with its figures taken out, so that only what is printed remains."""
    text = re.sub(r"^\d+,\d+,\d+,\d+(,\d+\.\d\d){5}$", "<line>", text, flags=re.MULTILINE)
    text = re.sub(r"(<line>\n)+", "<lines>\n", text)
    text = re.sub(r" +\d+\.\d\d ?ms", " <ms>", text)
    text = re.sub(r"localhost:\d+", "<address>", text)
    text = re.sub(r"rate \d+\.\d\d", "rate <rate>", text)
    text = re.sub(r"^(Client|Verdict): .*$", r"\1: <...>", text, flags=re.MULTILINE)
    # Whether others used the machine meanwhile is nothing that a test decides.
    text = re.sub(r"^Warning: other programs .*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"Took: +\d+\.\d{3}", "Took: <s>", text)


def test_piped_output_is_as_the_golden_file(cli: Cli, tensor_file: Path) -> None:
    with FakeRedisAI(AI_MODELRUN=lambda *_: asyncio.sleep(0.05, OK)) as server:
        done = cli(
            "run", "--file", tensor_file, "--port", server.port, "--burn-in", 3,
            "--max-queries", 14, "--reporting-period", "300ms",
        )  # fmt: skip
    golden = Path(__file__).parents[1] / "golden" / "run_piped.txt"
    assert (done.returncode, done.stderr) == (0, "")
    assert masked(done.stdout) == golden.read_text()


def test_json_and_histogram_are_saved_and_agree(
    cli: Cli, tensor_file: Path, tmp_path: Path
) -> None:
    with FakeRedisAI() as server:
        done = cli(
            "run", "--file", tensor_file, "--port", server.port, "--quiet",
            "--json-out-file", "results/run.json",
            "--output-file-stats-hdr-response-latency-hist", "results/hist.txt",
        )  # fmt: skip
    saved = json.loads((tmp_path / "results/run.json").read_text())
    table = (tmp_path / "results/hist.txt").read_text()
    latencies = LatencyHistogram.decode(saved["OverallQuantiles"]["EncodedHistogram"])
    assert latencies.count == 7
    assert "TotalCount     =        7.000]" in table
    assert done.stdout.startswith("Run complete after 7 inferences")
    assert done.stdout.endswith("Saving Query Latencies HDR Histogram to results/hist.txt\n")


def test_failures_make_the_exit_code_one_after_everything_is_saved(
    cli: Cli, tensor_file: Path, tmp_path: Path
) -> None:
    with FakeRedisAI(AI_MODELRUN=lambda _, n: b"-ERR no such\r\n" if n == 3 else OK) as server:
        done = cli("run", "--file", tensor_file, "--port", server.port, "--json-out-file", "r.json")
    assert done.returncode == 1
    assert "Failures: 1 of 7 requests" in done.stdout
    assert "error_reply: 1, first: ERR no such" in done.stdout
    assert json.loads((tmp_path / "r.json").read_text())["Successes"] == 6
    assert [file.name for file in tmp_path.iterdir()] == ["r.json"]


def test_sampled_replies_go_to_stderr(cli: Cli, tensor_file: Path) -> None:
    with FakeRedisAI(AI_MODELRUN=lambda *_: asyncio.sleep(0.05, OK)) as server:
        done = cli(
            "run", "--file", tensor_file, "--port", server.port, "--print-responses",
            "--reporting-period", "100ms",
        )  # fmt: skip
    assert re.search(r"^reply to tensor \d: classes 0 \(0\.0000\), 1 ", done.stderr, re.MULTILINE)
    assert "reply to" not in done.stdout


def sized(path: Path, size: int) -> Path:
    path.write_bytes(bytes(size))
    return path


Arguments = Callable[[Path, Path], Sequence[object]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (lambda tmp, _: ("--file", tmp / "none.out"), "none.out: there is no such file"),
        (lambda tmp, _: ("--file", sized(tmp / "empty.out", 0)), "empty.out: is empty"),
        (lambda tmp, _: ("--file", sized(tmp / "cut.out", 602_112 + 99)), "99 bytes over"),
        (lambda _, file: ("--file", file, "--workers", 0), "--workers 0"),
        (lambda _, file: ("--file", file, "--workers", -3), "--workers -3"),
        (lambda _, file: ("--file", file, "--threads", 2), "--threads 2 with --workers 1"),
        (lambda _, file: ("--file", file, "--batch-size", 0), "--batch-size 0"),
        (lambda _, file: ("--file", file, "--burn-in", 7), "--burn-in 7"),
        (lambda _, file: ("--file", file, "--burn-in", 5, "--max-queries", 5), "--burn-in 5"),
        (lambda _, file: ("--file", file, "--reporting-period", "0s"), "--reporting-period"),
        (lambda _, file: ("--file", file, "--json-out-file", "/proc/r.json"), "/proc/r.json"),
        (lambda _, file: ("--file", file, "--batch-size", 10**9), "--batch-size 1000000000"),
        (lambda _, file: ("--file", file, "--burn-in", 10**30), "--burn-in 1000"),
        (lambda _, file: ("--file", file, "--duration", "9999999999h"), "--duration"),
        (lambda _, file: ("--file", file, "--reporting-period", "1ns"), "--reporting-period"),
        (lambda *_: ("--dtype", "INT8"), "no tensors: give --file FILE, or --shape"),
        (lambda *_: ("--shape", ""), "'' is not a shape; write numbers separated by commas"),
        (lambda *_: ("--shape", "a"), "'a' is not a shape"),
        (lambda *_: ("--shape", "16,"), "'16,' is not a shape"),
        (lambda *_: ("--shape", "0"), "--shape 0: it has to be numbers from 1 on"),
        (lambda *_: ("--shape=-1,3",), "--shape -1,3: it has to be"),
        (
            lambda *_: ("--shape", "65536,65536", "--dtype", "UINT8"),
            "--shape 65536,65536 of UINT8 is 4,294,967,296 bytes; a tensor has at most 536,870,912",
        ),
        (lambda *_: ("--shape", "16", "--batch-size", 10**7), "--batch-size 10000000"),
        (
            lambda *_: ("--shape", "16", "--dtype", "half"),
            "--dtype HALF: it has to be one of FLOAT, DOUBLE, INT8, INT16, INT32, INT64, UINT8, "
            "UINT16, BOOL",
        ),
        (lambda *_: ("--shape", "16", "--burn-in", 2000), "one pass of the tensors is 2000"),
        (lambda _, file: ("--shape", "16", "--verify", file), "without --file"),
        (
            lambda _, file: ("--file", file, "--shape", "5", "--dtype", "DOUBLE"),
            "24 bytes over, where one tensor is 5 DOUBLE = 40 bytes",
        ),
        (
            lambda _, file: ("--file", file, "--output-file-stats-hdr-response-latency-hist", "/"),
            "cannot write /",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_before_anything_starts(
    cli: Cli, tensor_file: Path, tmp_path: Path, arguments: Arguments, words: str
) -> None:
    with FakeRedisAI() as server:
        done = cli("run", "--port", server.port, *arguments(tmp_path, tensor_file), code=2)
    assert done.stdout == ""
    assert done.stderr.startswith("aibench-fast: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert server.counts["AI.TENSORSET"] == 0


@pytest.mark.parametrize("port", [0, -1, 99999])
def test_what_is_no_port_is_one_line(cli: Cli, tensor_file: Path, port: int) -> None:
    done = cli("run", "--file", tensor_file, f"--port={port}", code=2, errors=1)
    assert f"--port {port}" in done.stderr


def test_what_is_no_redis_server_is_one_line(cli: Cli, tensor_file: Path) -> None:
    with FakeRedisAI(PING=lambda *_: b"HTTP/1.1 400 Bad Request\r\n") as server:
        done = cli("run", "--file", tensor_file, "--port", server.port, code=3, errors=1)
    assert "is not a Redis server: it answered PING with 'HTTP/1.1 400" in done.stderr


def test_no_server_is_one_line(cli: Cli, tensor_file: Path, closed_port: int) -> None:
    done = cli("run", "--file", tensor_file, "--port", closed_port, code=3, errors=1)
    assert f"no server answers at localhost:{closed_port}" in done.stderr


def test_a_server_without_ai_commands_is_one_line(cli: Cli, tensor_file: Path) -> None:
    with FakeRedisAI(COMMAND=lambda arguments, _: b"*4\r\n" + b"*-1\r\n" * 4) as server:
        done = cli("run", "--file", tensor_file, "--port", server.port, code=3, errors=1)
    assert "does not know AI.MODELGET, AI.MODELRUN, AI.TENSORGET, AI.TENSORSET" in done.stderr


def test_an_unknown_model_is_told_in_the_servers_words(cli: Cli, tensor_file: Path) -> None:
    with FakeRedisAI(AI_MODELGET=lambda *_: b"-ERR model key is empty\r\n") as server:
        done = cli("run", "--file", tensor_file, "--port", server.port, "--model", "nosuch")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "model key is empty" in done.stderr
    assert "nosuch" in done.stderr


def test_debug_shows_where_an_error_comes_from(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "--file", tmp_path / "none.out", "--debug")
    assert (done.returncode, "Traceback" in done.stderr) == (2, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_keeps_what_was_measured(
    tensor_file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    def stuck_at_last(_: object, number: int) -> Awaitable[bytes]:
        return asyncio.sleep(0.02 if number < 50 else 60, OK)

    with FakeRedisAI(AI_MODELRUN=stuck_at_last) as server:
        process = subprocess.Popen(
            command(
                "run", "--file", tensor_file, "--port", server.port, "--duration", "10m",
                "--workers", 3, "--reporting-period", "100ms", "--json-out-file", "r.json",
            ),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        for _ in range(8):  # the header and lines of 0.7 s: by then it is stuck
            process.stdout.readline()
        process.send_signal(number)
        asked = time.monotonic()
        out, err = process.communicate(timeout=20)
        took = time.monotonic() - asked
    assert process.returncode == 130
    assert took < 3  # a second, and room for a busy machine
    assert "Run complete after" in out
    assert "Interrupted" in out
    assert err == ""
    saved = json.loads((tmp_path / "r.json").read_text())
    assert saved["Interrupted"] is True
    assert saved["Successes"] > 0
    assert saved["AbandonedRequests"] == 3


@pytest.mark.parametrize("busy", [False, True])
def test_a_signal_is_not_forgotten_with_a_generator(tmp_path: Path, busy: bool) -> None:
    """On a busy machine it comes again before the handler of the last one has returned."""
    (tmp_path / "thrown_away.py").write_text(
        "import os, signal, time\n"
        "from aibench_fast.cli.ending import end_in_order\n"
        "def one():\n"
        "    try:\n"
        "        yield 1\n"
        "    finally:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        _ = [number for number in range(1000)]\n"
        "def set_late(which, *times_s):\n"
        "    set_timer(which, *times_s)\n"
        "    if any(times_s):\n"
        "        time.sleep(0.05)\n"
        "set_timer = signal.setitimer\n"
        f"signal.setitimer = {'set_late' if busy else 'set_timer'}\n"
        "end_in_order()\n"
        "begun = one()\n"
        "next(begun)\n"
        "try:\n"
        "    del begun\n"
        "    time.sleep(30)\n"
        "except KeyboardInterrupt:\n"
        "    print('heard')\n"
    )
    done = completed(sys.executable, tmp_path / "thrown_away.py", code=None)
    assert (done.stdout, done.stderr) == ("heard\n", "")


@pytest.mark.parametrize("again", [0, 0.02])
def test_ctrl_c_ends_a_run_whose_server_is_stuck(
    tensor_file: Path, tmp_path: Path, again: float
) -> None:
    stuck = threading.Event()

    def behave(_: object, number: int) -> bytes:
        if number == 20:
            stuck.wait(30)  # and with it the whole server, which answers no one any more
        return OK

    with FakeRedisAI(AI_MODELRUN=behave) as server:
        process = subprocess.Popen(
            command(
                "run", "--file", tensor_file, "--port", server.port, "--duration", "10m",
                "--reporting-period", "100ms", "--json-out-file", "r.json",
            ),
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        for _ in range(5):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        asked = time.monotonic()
        if again:
            time.sleep(again)
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        took = time.monotonic() - asked
        stuck.set()
    assert (process.returncode, err) == (130, "")
    assert took < 3  # a second, and room for a busy machine
    assert "Run complete after" in out
    assert json.loads((tmp_path / "r.json").read_text())["Successes"] == 19


@pytest.mark.parametrize("reader", ["head -n 2", "true"])
def test_a_closed_pipe_does_not_lose_the_run(
    tensor_file: Path, tmp_path: Path, reader: str
) -> None:
    with FakeRedisAI(AI_MODELRUN=lambda *_: asyncio.sleep(0.02, OK)) as server:
        arguments = command(
            "run", "--file", tensor_file, "--port", server.port, "--max-queries", 60,
            "--reporting-period", "100ms", "--json-out-file", "r.json",
        )  # fmt: skip
        script = f'"$@" | {reader}; exit ${{PIPESTATUS[0]}}'
        completed("bash", "-c", script, "bash", *arguments, code=0, errors=0, cwd=tmp_path)
    assert json.loads((tmp_path / "r.json").read_text())["Successes"] == 60


def test_without_standard_output_a_run_is_saved_all_the_same(
    tensor_file: Path, tmp_path: Path
) -> None:
    with FakeRedisAI() as server:
        arguments = command(
            "run", "--file", tensor_file, "--port", server.port, "--json-out-file", "r.json"
        )
        done = subprocess.run(
            ["bash", "-c", '"$@" >&-', "bash", *arguments],
            cwd=tmp_path, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "r.json").exists()


def test_what_can_be_saved_is_saved_and_shown(cli: Cli, tensor_file: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"

    def block(_: object, number: int) -> bytes:
        if number == 2:
            blocked.mkdir()  # where the histogram was to be written
        return OK

    with FakeRedisAI(AI_MODELRUN=block) as server:
        done = cli(
            "run", "--file", tensor_file, "--port", server.port, "--json-out-file", "r.json",
            "--output-file-stats-hdr-response-latency-hist", blocked, code=2,
        )  # fmt: skip
    assert "Run complete after 7 inferences" in done.stdout
    assert "cannot write" in done.stderr
    assert (tmp_path / "r.json").exists()


def test_no_histogram_file_where_none_is_wanted(
    cli: Cli, tensor_file: Path, tmp_path: Path
) -> None:
    with FakeRedisAI() as server:
        done = cli(
            "run", "--file", tensor_file, "--port", server.port,
            "--output-file-stats-hdr-response-latency-hist", "", code=0,
        )  # fmt: skip
    assert "Saving" not in done.stdout
    assert not list(tmp_path.glob("*hist*"))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["run", "--workers", "abc"], "argument --workers: invalid int value: 'abc'"),
        (["run"], "no tensors: give --file FILE, or --shape"),
        (["rum"], "invalid choice: 'rum' (choose from fetch, prepare, "),
        (["run", "--api", "x"], "--api: invalid choice: 'x' (choose from openai-chat, openai-comp"),
        (["run", "--encoding", "x"], "invalid choice: 'x' (choose from auto, binary, json)"),
        (["run", "--file", "x", "--no-such-option"], "unrecognized arguments: --no-such-option"),
        (["search", "--slo", "p99=5ms", "--limit-rps", "5"], "see aibench-fast search --help"),
        (["model", "load", "--bogus"], "see aibench-fast model load --help"),
        (["run", "--password", "canary"], "--password; a password comes from AIBENCH_PASSWORD"),
        (["serve", "--passwrd=canary"], "unrecognized arguments: --passwrd; see"),
        (["fetch", "model", "", "--sha256", "0"], "cannot fetch an empty address"),
        (["fetch", "coco", "--dest", "d", "--url", " "], "cannot fetch an empty address"),
        (
            ["fetch", "model", "https://me:canary@h/m.pb", "--sha256", "0"],
            "cannot fetch https://h/",
        ),
        (
            ["fetch", "model", "ftp://h/m.pb?token=canary", "--sha256", "0"],
            "ftp://h/m.pb?...: give",
        ),
        (["run", "--url", "http://h/?token=canary"], "--url http://h/?...: write"),
        (
            ["run", "--shape", "2", "--url", "redis://h/?token=canary"],
            "--url redis://h/?...: leave",
        ),
        (["run", "--url", "http://::1:8080"], "an IPv6 address goes in brackets"),
        (["run", "--shape", "2", "--url", "redis://fe80::1:6379"], "goes in brackets"),
        (["run", "--url", "http://h", "--metrics-url", "http://::1:8002/"], "goes in brackets"),
        (
            ["prepare", "--quiet", "--input", "memory://d?token=canary"],
            "memory://d?...: there",
        ),
        (["show", "long" * 64], "longlong: File name too long; name another"),
        (["prepare", "--quiet", "--input", "long" * 64], "longlong: File name too long; name"),
        (["compare", "long" * 64, "b.json"], "longlong: File name too long; name another"),
    ],
)
def test_wrong_words_are_one_line(cli: Cli, words: list[str], complaint: str) -> None:
    done = cli(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert done.stderr.startswith("aibench-fast: ")
    assert "canary" not in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "commands"),
    [
        ([], ["RedisAI", "Redis Cluster", "Open Inference Protocol", "Triton", "search"]),
        (["fetch"], ["model", "coco"]),
        (["model"], ["write", "load"]),
    ],
)
def test_without_a_command_there_is_help(cli: Cli, words: list[str], commands: list[str]) -> None:
    done = cli(*words, code=0, errors=0)
    assert done.stdout == cli(*words, "--help").stdout
    assert all(one in done.stdout for one in commands)


GROUPS = {
    "Any HTTP endpoint": ["--body", "--content-type", "--method", "--success", "--reply"],
    "Streams of tokens": ["--prompts", "--tokenizer", "--token-timeout", "--stream-end", "--api"],
    "Traces": ["--trace", "--speed"],
}


@pytest.mark.parametrize("name", ["run", "sweep", "search"])
def test_help_has_a_group_for_each_kind_of_request(cli: Cli, name: str) -> None:
    sections = re.split(r"^(\w[\w ]*):$", cli(name, "--help").stdout, flags=re.MULTILINE)
    groups = dict(zip(sections[1::2], sections[2::2], strict=True))
    for title, options in GROUPS.items():
        if title == "Traces" and name != "run":
            continue
        for option in options:
            found = [
                one for one, text in groups.items() if re.search(rf"^  {option}\b", text, re.M)
            ]
            assert found == [title]
    assert len(groups["Request"].splitlines()) < 80


def test_help_of_the_server_says_that_tokens_are_simulated(cli: Cli) -> None:
    words = "Run an embedded server (RedisAI, Triton or simulated tokens) until it is interrupted."
    assert words in cli("serve", "--help").stdout


def test_more_workers_than_the_shell_lets_open_files(cli: Cli, tensor_file: Path) -> None:
    with FakeRedisAI() as server:
        arguments = command(
            "run", "--file", tensor_file, "--port", server.port, "--workers", 150, "--quiet"
        )
        done = subprocess.run(
            ["bash", "-c", 'ulimit -Sn 100; exec "$@"', "bash", *arguments],
            cwd=tensor_file.parent, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("1000ms", 1.0), ("1m30s", 90.0), ("1.5s", 1.5), ("250us", 0.00025), ("0", 0.0)],
)
def test_durations_are_read_as_go_writes_them(duration: str, seconds: float) -> None:
    from aibench_fast.cli.options.parser import seconds as read_seconds

    assert read_seconds(duration) == pytest.approx(seconds)


@pytest.mark.parametrize("duration", ["", "5", "s", "1x", "-1s", "1s2"])
def test_what_is_no_duration_is_refused(cli: Cli, duration: str) -> None:
    done = cli("run", "--file", os.devnull, f"--duration={duration}", code=2)
    assert "is not a duration" in done.stderr


def test_no_duration_is_longer_than_that_of_go() -> None:
    from aibench_fast.units import duration_s

    assert duration_s("2562047h") == pytest.approx(2**63 / 1e9, rel=1e-6)
    for words in ("2562048h", "9" * 400 + "s"):
        with pytest.raises(ValueError, match="longer than 292 years"):
            duration_s(words)


def test_an_interrupt_while_a_command_is_imported_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_package, "build_parser", interrupted)
    assert cli_package.main(["run"]) == 130
    assert capsys.readouterr().err == "aibench-fast: interrupted\n"
