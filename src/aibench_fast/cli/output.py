"""Standard output and error, which may be closed, full, or unable to show every character.

Printing never fails, so that no measurement is lost. The first write that standard output refuses
is reported once on standard error.
"""

import errno
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

_ESCAPED = "backslashreplace"
"""How characters are shown that the encoding of a stream lacks."""
_SETTING = re.compile("`([a-z_]+)`")
_OTHERWISE = {
    "burn_in_until_steady": "--burn-in auto",
    "ca_file": "--cacert",
    "certificate": "--cert",
    "failures": "--fail",
    "folder": "--results-dir",
    "headers": "--header",
    "highest": "--to",
    "inputs": "--input",
    "lowest": "--from",
    "min_batch_timeout_ms": "--minbatchtimeout",
    "outputs": "--output",
    "password": "--password-file or --ask-password",
    "reference_file": "--verify",
    "reply_timeout_s": "--dial-read-timeout",
    "sample_responses": "--print-responses",
    "server_name": "--tls-server-name",
    "server_pid": "--embedded",
}
"""The options that are not called as their settings are."""


class _Stream(io.TextIOWrapper):
    """A standard stream that accepts everything, and drops what the system refuses.

    Python cannot interrupt the raw stream below it. Otherwise a signal between a write and its
    bookkeeping would repeat the text.
    """

    refusal: OSError | None = None

    def write(self, text: str, /) -> int:
        if self.refusal is None:
            try:
                return super().write(text)
            except OSError as error:
                self._refuse(error)
        return len(text)

    def flush(self) -> None:
        if self.refusal is None:
            try:
                super().flush()
            except OSError as error:
                self._refuse(error)

    def _refuse(self, error: OSError) -> None:
        self.refusal = error
        if self.fileno() == 1 and error.errno != errno.EPIPE:
            print(
                f"aibench-fast: cannot write to standard output: {error.strerror}", file=sys.stderr
            )


def open_streams() -> None:
    """Replace the standard streams by streams on which printing never fails.

    A stream that the parent process closed becomes /dev/null. Otherwise the next opened file would
    get its number.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    # Leave streams that a test or a notebook has replaced.
    if sys.stderr is sys.__stderr__:
        sys.stderr = _opened(2, sys.stderr)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _opened(1, sys.stdout)


def _opened(number: int, before: Any) -> io.TextIOWrapper:
    is_plain = before is None
    if not is_plain:
        before.flush()
    return _Stream(
        io.BufferedWriter(io.FileIO(number, "wb", closefd=False)),
        encoding="utf-8" if is_plain else before.encoding,
        errors=_ESCAPED,
        line_buffering=number == 2 or os.isatty(number),
    )


def note(message: str, program: str = "aibench-fast") -> None:
    """Print a line on standard error, with options in place of the settings that it names."""
    print(f"{program}: {with_options(message)}", file=sys.stderr)


def with_options(message: str) -> str:
    """Return a message of the package with options in place of settings.

    The package names a setting as Python does, between backticks: `max_lag_s`. The command line
    prints the option instead: --max-lag.
    """
    return _SETTING.sub(lambda found: _option(found[1]), message)


def _option(setting: str) -> str:
    if setting in _OTHERWISE:
        return _OTHERWISE[setting]
    name = setting.removesuffix("_bytes").removesuffix("_s")
    return f"--{name.replace('_', '-')}"


def is_refused() -> bool:
    """Whether standard output refused something; a closed pipe does not count."""
    sys.stdout.flush()
    refusal = sys.stdout.refusal if isinstance(sys.stdout, _Stream) else None
    return refusal is not None and refusal.errno != errno.EPIPE


@contextmanager
def counted(
    quiet: bool, description: str, *amount: "ProgressColumn | str"
) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar as `progress_bar` does; yield what takes how much is done, and of how much."""
    with progress_bar(quiet, *amount) as progress:
        task = progress.add_task(description, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def progress_bar(
    quiet: bool, *amount: "ProgressColumn | str", transient: bool = False
) -> "Progress":
    """Return a bar on standard error, unless that is not a terminal or --quiet is given.

    It has a description, an amount and the time left. `amount` are the columns of the amount
    (default: a count). A transient bar disappears when done.
    """
    # Imported here, because messages need neither.
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        *(amount or (progress.MofNCompleteColumn(),)),
        progress.TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=transient,
    )
