"""Durations, sizes and ranges of numbers as people write them."""

import re

_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE_BYTES = {
    "": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
}  # fmt: skip
_SIZE = re.compile(r"(\d+)(\w*)")
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


# Go counts a duration in nanoseconds of 64 bits.
LONGEST_DURATION_S = (2**63 - 1) / 1e9


def duration_s(words: str) -> float:
    """Return the seconds of a duration in Go's syntax: `1000ms`, `1m30s`, `0`; else ValueError."""
    if words == "0":
        return 0.0
    parts = _DURATION_PART.findall(words)
    if not parts or "".join(number + unit for number, unit in parts) != words:
        raise ValueError(
            f"{words!r} is not a duration; write a number and its unit, such as 1000ms or 1m30s"
        )
    seconds = sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    if seconds > LONGEST_DURATION_S:
        raise ValueError(f"{words[:20]!r}... is longer than 292 years, the longest duration")
    return seconds


def described_duration(seconds: float) -> str:
    """Format a duration of a second or more in the same syntax: `2m`, `1h5m30s`."""
    whole = round(seconds)
    parts = [(whole // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s")]
    return "".join(f"{count}{unit}" for count, unit in parts if count) or f"{seconds:.1g}s"


def size_bytes(words: str) -> int:
    """Return the bytes of a size such as `512MiB`, `2GB` or `1000`; else ValueError."""
    found = _SIZE.fullmatch(words)
    if found is None or found[2] not in _SIZE_BYTES:
        raise ValueError(f"{words!r} is not a size; write a number and its unit, such as 512MiB")
    return int(found[1]) * _SIZE_BYTES[found[2]]


def described_size(count: int) -> str:
    """Format a number of bytes: `1.5 MiB`."""
    for unit in ("GiB", "MiB", "KiB"):
        if count >= _SIZE_BYTES[unit]:
            return f"{count / _SIZE_BYTES[unit]:.1f} {unit}"
    return f"{count} bytes"


Range = int | tuple[int, int]
"""A number, or the least and the largest one of a range."""
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def number_range(words: str) -> Range:
    """Return the number of `512`, or the bounds of `256-768`; else ValueError."""
    found = _RANGE.fullmatch(words)
    if found is None:
        raise ValueError(f"{words!r}: write a number such as 512, or a range such as 256-768")
    return int(found[1]) if found[2] is None else (int(found[1]), int(found[2]))


def bounds(value: Range) -> tuple[int, int]:
    """Return the least and the largest number of a range."""
    return (value, value) if isinstance(value, int) else value


def described_range(value: Range) -> str:
    """Format a range as `number_range` reads it."""
    low, high = bounds(value)
    return str(low) if low == high else f"{low}-{high}"
