"""The live view of a run on a terminal, as it looks at one moment."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aibench_fast.results.events import Reading
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.serverperiods import server_use

BARS = "▁▂▃▄▅▆▇█"
MAX_POINTS = 1000
HISTOGRAM_ROWS = 10
LABEL_WIDTH = 6
VALUE_WIDTH = 14
MIN_CHART_WIDTH = 10
COUNT_WIDTH = 12  # behind a bar
OTHER_LINES = 3
"""The head, the server, and one that the terminal keeps for its cursor."""
LEAST_HISTOGRAM_ROWS = 3
MIB = 1 << 20
Note = tuple[str, str, str]


class LiveView:
    """Remembers the readings of a run, as many as fit a line, and draws them."""

    def __init__(self) -> None:
        """Begin without any."""
        self._series: dict[str, deque[float]] = {}

    def updated(self, reading: Reading, width: int, height: int | None = None) -> RenderableType:
        """Take one more reading; return the view, for a terminal of so many columns and lines.

        If the lines are few, the histogram has fewer rows or none, so that outages, failures and
        progress stay in sight.
        """
        lines = [*_lines(reading)]
        shown = [self._added(line) for line in lines]
        notes = [*_notes(reading)]
        value_width = max(VALUE_WIDTH, *map(len, shown), *(len(what) for _, what, _ in notes))
        chart_width = max(MIN_CHART_WIDTH, width - LABEL_WIDTH - value_width - 4)
        table = Table.grid(padding=(0, 1))
        table.add_column(width=LABEL_WIDTH)
        table.add_column(width=value_width, justify="right")
        table.add_column(width=chart_width, no_wrap=True)
        left = [*_left(reading, width)]
        room = HISTOGRAM_ROWS
        if height is not None:
            free = height - OTHER_LINES - len(lines) - len(left)
            notes = _shortened(notes, free)
            room = min(room, free - len(notes))
        rows = histogram_rows(reading.latencies, room if room >= LEAST_HISTOGRAM_ROWS else 0)
        for line, value in zip(lines, shown, strict=True):
            points = [*self._series[line.name]][-chart_width:]
            table.add_row(line.label, value, Text(sparkline(points), style="cyan"))
        for upper_ms, count, share in rows:
            bar = "█" * round(share * (chart_width - COUNT_WIDTH)) or "▏"
            table.add_row("", f"to {upper_ms:,.3g} ms", f"{bar} {count:,}")
        server = ", ".join(_server(reading.server))
        if server or reading.streams is None:  # servers of such streams report nothing
            table.add_row("server", "", server or "not known yet")
        for label, what, words in notes:
            table.add_row(label, what, Text(words, style="red"))
        state = "measuring" if reading.is_measuring else "warming up, excluded from every figure"
        head = f"{state}, {reading.seconds:.0f} s, {reading.requests:,} requests"
        return Group(Text(head), table, *left)

    def _added(self, line: "_Line") -> str:
        """Take the newest value of a line; return it as text."""
        series = self._series.setdefault(line.name, deque(maxlen=MAX_POINTS))
        if line.value is None:
            return "not known" if series else "nothing yet"
        series.append(line.value)
        return f"{line.prefix}{line.value:,.2f}{line.unit}"


class _Line(NamedTuple):
    """A figure with its newest value; None if nothing came since the last one."""

    name: str
    label: str
    prefix: str
    value: float | None
    unit: str


def _lines(reading: Reading) -> Iterator[_Line]:
    """Yield rates, and latencies or the times of streams of tokens."""
    yield _Line("rate", "rate", "", reading.rate, "/s")
    if reading.streams is None:
        for name, value in zip_longest(("p50", "p99"), reading.quantiles_ms):
            yield _Line(name, name, "", value, " ms")
        return
    yield _Line("tokens", "tokens", "", reading.streams.tokens_per_s, "/s")
    for times, quantiles_ms in reading.streams.quantiles_ms.items():
        for name, value in zip_longest(("p50", "p99"), quantiles_ms):
            label = times if name == "p50" else ""
            yield _Line(f"{times}.{name}", label, f"{name} ", value, " ms")


def sparkline(values: Iterable[float]) -> str:
    """Return one character a value, from 0 to the highest."""
    shown = [*values]
    top = max(shown, default=0.0)
    if top <= 0:
        return BARS[0] * len(shown)
    return "".join(BARS[min(len(BARS) - 1, int(value / top * len(BARS)))] for value in shown)


def histogram_rows(
    latencies: LatencyHistogram, count: int = HISTOGRAM_ROWS
) -> list[tuple[float, int, float]]:
    """Return equal steps on a logarithmic axis: upper end in ms, count, and share of the most."""
    if not latencies.count or not count:
        return []
    low, high = math.log(latencies.min_ms), math.log(latencies.max_ms)
    step = max(high - low, 1e-6) / count
    ends = [math.exp(low + step * (row + 1)) for row in range(count)]
    up_to = latencies.counts_up_to([*ends[:-1], latencies.max_ms])
    counts = [later - earlier for earlier, later in zip([0, *up_to], up_to, strict=False)]
    most = max(counts)
    return [(end, found, found / most) for end, found in zip(ends, counts, strict=True)]


def _notes(reading: Reading) -> Iterator[Note]:
    """Yield the outages that go on, or the last one, and the failures."""
    last = [one for one in reading.outages if not one.is_over] or [*reading.outages[-1:]]
    for one in last:
        if one.is_over:
            what, words = f"of {one.seconds:,.1f} s", f"over, from {one.after_s:,.0f} s on"
        else:
            what, words = f"for {one.seconds:,.0f} s now", "no connection"
        if one.server:
            words = f"{one.server}: {words}"
        yield "outage", what, f"{words}, {one.attempts:,} attempts"
    for kind, failure in reading.failures.items():
        yield "failed", kind, f"{failure.count:,}, first: {failure.first_message}"


def _shortened(notes: list[Note], most: int) -> list[Note]:
    """Return as many as there are lines for; if some are left out, the last line counts them."""
    if len(notes) <= most:
        return notes
    kept = max(0, most - 1)
    return [*notes[:kept], ("", "", f"and {len(notes) - kept} more lines")][: max(0, most)]


def _server(period: Mapping[str, Any]) -> Iterator[str]:
    """Yield CPU and memory as far as the server reports them."""
    use = server_use(period)
    if use.cores is not None:
        yield f"CPU {use.cores:.0%} of a core"
    if use.memory_bytes is not None:
        yield f"memory {use.memory_bytes / MIB:,.0f} MiB"


def _left(reading: Reading, width: int) -> Iterator[RenderableType]:
    if reading.seconds_left is None:
        return
    total = reading.seconds + reading.seconds_left
    yield Text(f"{reading.seconds_left:.0f} s left")
    yield ProgressBar(total=total, completed=reading.seconds, width=width)
