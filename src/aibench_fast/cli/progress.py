"""Progress bars on stderr, unless it is not a terminal or --quiet is given."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)


def progress_bar(quiet: bool, *amount: ProgressColumn | str, transient: bool = False) -> Progress:
    """Return a bar with a description, an amount and the time left.

    `amount` are the columns of the amount (default: a count). A transient bar disappears when done.
    """
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *(amount or (MofNCompleteColumn(),)),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=transient,
    )
