"""Progress bars on stderr: none where that is no terminal, or where quiet was asked for."""

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
    """A bar with a description, how much is done, and the time left.

    `amount` are the columns that tell how much; without any, it is a count. A transient bar is gone
    when it is full.
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
