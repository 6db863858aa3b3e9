"""Latencies as HdrHistogram keeps them: from native counts to quantiles and text.

Inside, values are whole microseconds, 1 us to 1 hour, 3 significant digits. Results are
milliseconds.
"""

import base64
import ctypes
import io
import math
import re
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate
from operator import sub

from hdrh import codec
from hdrh.histogram import HdrHistogram

from aibench_fast.errors import ConfigError, InternalError

LOWEST_US = 1
HIGHEST_US = 3_600_000_000
SIGNIFICANT_DIGITS = 3
US_PER_MS = 1000.0
_ENCODED_START = "HISTF"  # the format's cookie, in base64
_DECODE_ERRORS = (
    codec.HdrCookieException,
    codec.HdrHistogramSettingsException,
    codec.HdrLengthException,
    TypeError,
    IndexError,
)


def least_count(quantile: float) -> int:
    """Return how many values it takes for one to be beyond the quantile: 100 for p99."""
    return math.ceil(round(1 / (1 - quantile), 6)) if quantile < 1 else 1


def is_known(quantile: float, count: int) -> bool:
    """Return whether so many values are enough for a quantile: 1 up to p50, else `least_count`."""
    return count >= (1 if quantile <= 0.5 else least_count(quantile))


class LatencyHistogram:
    """A set of latencies, made by `from_counts` or `decode`. It never changes."""

    def __init__(self, histogram: HdrHistogram) -> None:
        """Wrap a filled HdrHistogram of microseconds."""
        self._histogram = histogram

    @classmethod
    def empty(cls) -> "LatencyHistogram":
        """Return a histogram without latencies."""
        return cls(HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS))

    @classmethod
    def from_counts(cls, counts: bytes, min_us: int, max_us: int) -> "LatencyHistogram":
        """Copy a counts array of native 64-bit integers in HdrHistogram's layout."""
        histogram = HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS)
        if len(counts) != ctypes.sizeof(histogram.counts):
            raise InternalError(
                f"{len(counts)} bytes of counts, HdrHistogram has {ctypes.sizeof(histogram.counts)}"
            )
        ctypes.memmove(histogram.counts, counts, len(counts))
        histogram.total_count = sum(memoryview(counts).cast("q"))
        if histogram.total_count:
            histogram.min_value = min_us
            histogram.max_value = max_us
        return cls(histogram)

    @classmethod
    def decode(cls, encoded: str, extremes_us: tuple[int, int] | None = None) -> "LatencyHistogram":
        """Read HdrHistogram's V2 compressed base64 form, also where it is base64 twice.

        The Go aibench encodes twice. The form has the least and the greatest value to the width of
        a bucket; `extremes_us` are exact. ConfigError if it is neither.
        """
        try:
            if not encoded.startswith(_ENCODED_START):
                encoded = base64.b64decode(encoded, validate=True).decode("ascii")
            histogram = HdrHistogram.decode(encoded)
            if extremes_us:
                histogram.min_value, histogram.max_value = extremes_us
            return cls(histogram)
        except (ValueError, zlib.error, *_DECODE_ERRORS) as error:
            raise ConfigError(
                f"{encoded[:20]!r}... is not an encoded HdrHistogram: "
                f"{error or type(error).__name__}"
            ) from error

    @classmethod
    def merged(cls, several: "Iterable[LatencyHistogram]") -> "LatencyHistogram":
        """Return the latencies of several histograms in one."""
        total = cls.empty()._histogram
        extremes: list[tuple[int, int]] = []
        for one in several:  # one at a time: each is large
            if one.count:
                total.add(one._histogram)
                extremes.append(one.extremes_us)
        if extremes:  # the library uses the edges of their buckets
            least, greatest = zip(*extremes, strict=True)
            total.min_value, total.max_value = min(least), max(greatest)
        return cls(total)

    def since(self, earlier: "LatencyHistogram") -> "LatencyHistogram":
        """Return the latencies after `earlier`, a copy of this histogram at an earlier time; their
        least and greatest are known to the width of a bucket.
        """
        counts = array("q", map(sub, self._counts, earlier._counts))
        filled = [index for index, count in enumerate(counts) if count]
        if not filled:
            return LatencyHistogram.empty()
        least, greatest = (self._histogram.get_value_from_index(filled[end]) for end in (0, -1))
        greatest = self._histogram.get_highest_equivalent_value(greatest)
        return LatencyHistogram.from_counts(
            counts.tobytes(), least, min(greatest, self._histogram.max_value)
        )

    def quantiles_since_ms(
        self, earlier: "LatencyHistogram", quantiles: Iterable[float]
    ) -> list[float]:
        """Return `since(earlier).quantiles_ms(quantiles)`, above 0; empty without any since."""
        # Histograms are freed late, and a run calls this every reporting period: it makes none.
        return self._at_quantiles_ms(quantiles, map(sub, self._counts, earlier._counts))

    def encode(self) -> str:
        """Return HdrHistogram's V2 compressed form in base64, once."""
        return str(self._histogram.encode(), "ascii")

    @property
    def _counts(self) -> "memoryview[int]":
        """The count of each bucket."""
        return memoryview(self._histogram.counts).cast("B").cast("q")

    @property
    def count(self) -> int:
        """The number of latencies."""
        return int(self._histogram.total_count)

    def quantiles_ms(self, quantiles: Iterable[float]) -> list[float]:
        """Return the latency at each quantile (0 to 1), in milliseconds; 0.0 without any."""
        wanted = [*quantiles]
        return self._at_quantiles_ms(wanted, self._counts) or [0.0 for _ in wanted]

    def known_quantiles_ms(self, quantiles: Iterable[float]) -> list[float | None]:
        """Return `quantiles_ms`, with None for quantiles that need more latencies."""
        wanted = [*quantiles]
        return [
            value if is_known(quantile, self.count) else None
            for quantile, value in zip(wanted, self.quantiles_ms(wanted), strict=True)
        ]

    def _at_quantiles_ms(self, quantiles: Iterable[float], counts: Iterable[int]) -> list[float]:
        """Return the latency at each quantile of the counts of all buckets; empty without any. The
        library goes through all buckets in Python, which takes far longer.
        """
        up_to = [*accumulate(counts)]
        found = []
        for quantile in quantiles if up_to[-1] else ():
            wanted = max(1, int(quantile * 100 * up_to[-1] / 100 + 0.5))
            value = self._histogram.get_value_from_index(bisect_left(up_to, wanted))
            if quantile:
                value = self._histogram.get_highest_equivalent_value(value)
            # A bucket's upper edge may lie above the largest value that was seen.
            found.append(min(value / US_PER_MS, self.max_ms))
        return found

    def counts_up_to(self, limits_ms: Iterable[float]) -> list[int]:
        """Return how many latencies are at or below each limit, to the width of a bucket."""
        up_to = [*accumulate(self._counts)]
        limits_us = (min(max(LOWEST_US, round(ms * US_PER_MS)), HIGHEST_US) for ms in limits_ms)
        return [up_to[self._histogram._counts_index_for(limit_us)] for limit_us in limits_us]

    @property
    def extremes_us(self) -> tuple[int, int]:
        """The least latency and the greatest, for `decode`."""
        return self._histogram.min_value, self._histogram.max_value

    @property
    def min_ms(self) -> float:
        """The shortest latency, in milliseconds; 0.0 without any."""
        return self._histogram.min_value / US_PER_MS if self.count else 0.0

    @property
    def max_ms(self) -> float:
        """The longest latency, in milliseconds; 0.0 without any."""
        return self._histogram.max_value / US_PER_MS if self.count else 0.0

    @property
    def mean_ms(self) -> float:
        """The mean latency, in milliseconds."""
        return self._mean_us() / US_PER_MS if self.count else 0.0

    @property
    def stddev_ms(self) -> float:
        """The standard deviation, in milliseconds."""
        if not self.count:
            return 0.0
        mean_us = self._mean_us()
        squares = sum(count * (us - mean_us) ** 2 for us, count in self._filled())
        return math.sqrt(squares / self.count) / US_PER_MS

    def _mean_us(self) -> float:
        return sum(count * us for us, count in self._filled()) / self.count

    def filled_ms(self) -> Iterator[tuple[float, int]]:
        """Return the middle of each filled bucket, in milliseconds, and its count."""
        return ((value_us / US_PER_MS, count) for value_us, count in self._filled())

    def _filled(self) -> Iterator[tuple[int, int]]:
        """Yield the middle of each filled bucket, in microseconds, and its count; the library's
        iterators take a hundred times as long.
        """
        for index, count in enumerate(self._counts):
            if count:
                value = self._histogram.get_value_from_index(index)
                yield self._histogram._hdr_median_equiv_value(value), count

    def percentile_table(self) -> str:
        """Return HdrHistogram's percentile table, in milliseconds, for its plotting tools."""
        out = io.BytesIO()
        self._histogram.output_percentile_distribution(out, US_PER_MS)
        # The library scales the mean in that line to milliseconds, but not the deviation.
        return re.sub(
            r"^#\[Mean .*$",
            f"#[Mean    = {self.mean_ms:12.3f}, StdDeviation   = {self.stddev_ms:12.3f}]",
            out.getvalue().decode("ascii"),
            flags=re.MULTILINE,
        )
