"""HdrHistogram's log: a run's latencies by reporting period, one a line, for HdrHistogram's tools.

Values are microseconds, the column of maxima is in milliseconds; times are seconds from the start
that the head names. hdrhistogram's own writer fails on a start time and cuts maxima to whole
numbers, so the lines are put together here; format version 1.2 is the one that it reads.
"""

from datetime import UTC, datetime
from typing import BinaryIO

from aibench_fast.results.events import IntervalLatencies

FORMAT_VERSION = "1.2"
LEGEND = '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"'


class HdrLog:
    """Writes the log into an open file, which the caller closes."""

    def __init__(self, file: BinaryIO) -> None:
        """Write nothing yet."""
        self._file = file
        self._start_unix_s: float | None = None

    def append(self, interval: IntervalLatencies) -> None:
        """Write one reporting period, which is in the file then; the first one is the start."""
        begin_unix_s, lines = interval.start_unix_s, []
        if self._start_unix_s is None:
            self._start_unix_s = begin_unix_s
            start = datetime.fromtimestamp(begin_unix_s, UTC).isoformat(" ", "seconds")
            lines = [
                f"#[Histogram log format version {FORMAT_VERSION}]",
                "#[aibench-fast: measured latencies, values in microseconds]",
                f"#[StartTime: {begin_unix_s:.3f} (seconds since epoch), {start}]",
                LEGEND,
            ]
        lines.append(
            f"{begin_unix_s - self._start_unix_s:.3f},{interval.end_unix_s - begin_unix_s:.3f},"
            f"{interval.latencies.max_ms:.3f},{interval.latencies.encode()}"
        )
        self._file.writelines(f"{line}\n".encode() for line in lines)
        self._file.flush()
