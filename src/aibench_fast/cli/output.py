"""Standard output and error, which may be closed, full, or unable to show every character.

What they do not take is no reason to lose what was measured: printing never fails. The first time
that standard output refuses something is one line on standard error.
"""

import errno
import io
import os
import sys
from typing import Any

from aibench_fast.cli.options.names import with_options

_ESCAPED = "backslashreplace"
"""How a character is shown that a stream's encoding does not have."""


class _Stream(io.TextIOWrapper):
    """A standard stream that takes everything; what the system refuses is dropped.

    The raw stream below stays one that Python cannot interrupt: a signal between a write and the
    note that it was made would have the same text written again.
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
    """Have printing never fail in this process, whatever its standard streams are.

    One that whoever started the program has closed is /dev/null: its number would otherwise be that
    of the next file that is opened.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # has the lowest number that is free
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    # Not where something else has taken their place, as in a test or a notebook.
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
    """Print a line that the reader of standard error should see, whatever happens next.

    Settings that the message names are printed as options.
    """
    print(f"{program}: {with_options(message)}", file=sys.stderr)


def is_refused() -> bool:
    """Whether standard output did not take all; not where its reader has gone, who has enough."""
    sys.stdout.flush()
    refusal = sys.stdout.refusal if isinstance(sys.stdout, _Stream) else None
    return refusal is not None and refusal.errno != errno.EPIPE
