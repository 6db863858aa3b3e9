"""The command line as a user calls it, in this process or in one of its own."""

import io
import os
import pty
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import IO, Any

from aibench_fast.cli import main
from aibench_fast.studies.signals import ENDING_SIGNALS

Completed = subprocess.CompletedProcess[str]
Cli = Callable[..., Completed]
"""Run `aibench-fast` in an empty folder with the arguments given, its output into pipes.

`code=2, errors=1` hold its exit code and the lines of its standard error against the expected.
"""

SIGNALS = (*ENDING_SIGNALS, signal.SIGALRM)


def command(*arguments: object) -> list[str]:
    """Return an `aibench-fast` command line."""
    return [sys.executable, "-m", "aibench_fast", *map(str, arguments)]


def as_process(
    folder: Path, *arguments: object, code: int | None = None, **options: Any
) -> Completed:
    """Run `aibench-fast` in `folder` as a process of its own."""
    options = {"timeout": 100, **options}
    return completed(*command(*arguments), cwd=folder, code=code, **options)


def completed(
    *words: object, code: int | None = 0, errors: int | None = None, **options: Any
) -> Completed:
    """Run a program to its end; with the exit code None, any is right."""
    command = [*map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    return _ended(done, code, errors)


def _ended(done: Completed, code: int | None, errors: int | None) -> Completed:
    assert code in (None, done.returncode), done.stdout + done.stderr
    *lines, rest = done.stderr.split("\n")
    assert errors is None or (len(lines), rest) == (errors, ""), done.stderr
    return done


def in_process(
    folder: Path,
    *arguments: object,
    stdin: bytes = b"",
    program: Callable[[Sequence[str]], int] = main,
    code: int | None = None,
    errors: int | None = None,
) -> Completed:
    """Run `aibench-fast`, or another program, in `folder` without starting a process.

    Its standard streams are files, also those of the processes that it starts.
    """
    words = [str(argument) for argument in arguments]
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out:
        given.write(stdin)
        given.seek(0)
        with tempfile.TemporaryFile() as err:
            with _standard_streams(given, out, err), signals_kept(), chdir(folder):
                try:
                    ended = program(words)
                except SystemExit as exit_:
                    ended = exit_.code if isinstance(exit_.code, int) else int(bool(exit_.code))
            return _ended(Completed(words, ended, _text(out), _text(err)), code, errors)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@contextmanager
def _standard_streams(*files: IO[bytes]) -> Iterator[None]:
    """Have descriptors 0, 1 and 2, and the streams of `sys`, as a new process has them."""
    names = ("stdin", "stdout", "stderr")
    before = {name: getattr(sys, name) for one in names for name in (one, f"__{one}__")}
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in range(3)]
    for number, (name, file) in enumerate(zip(names, files, strict=True)):
        os.dup2(file.fileno(), number)
        stream = os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, one in enumerate(kept):
            os.dup2(one, number)
            os.close(one)
        for name, stream in before.items():
            setattr(sys, name, stream)


@contextmanager
def signals_kept() -> Iterator[None]:
    """Undo what a command in this process does about signals.

    It answers them, and ignores them once interrupted; what it ignores, every process that a later
    test starts would ignore too.
    """
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    hook = sys.unraisablehook
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


def on_a_terminal(*words: object, code: int = 0) -> str:
    """Return the output of a command on a terminal."""
    own, its = pty.openpty()
    output = io.BytesIO()

    def read() -> None:
        try:
            while piece := os.read(own, 65536):
                output.write(piece)
        except OSError:  # its other end was closed
            pass

    reader = threading.Thread(target=read)
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "50"}
    process = subprocess.Popen(command(*words), stdout=its, stderr=its, stdin=its, env=environment)
    os.close(its)
    reader.start()
    assert process.wait(60) == code
    reader.join(10)
    os.close(own)
    return output.getvalue().decode()


def without_coverage() -> dict[str, str]:
    """Return the environment for a command whose memory or files are limited."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}
