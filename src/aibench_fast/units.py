"""Durations as people write them."""

import re

_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def duration_s(words: str) -> float:
    """A duration as Go writes it (`1000ms`, `1s`, `1m30s`, `0`), in seconds; ValueError else."""
    if words == "0":
        return 0.0
    parts = _DURATION_PART.findall(words)
    if not parts or "".join(number + unit for number, unit in parts) != words:
        raise ValueError(
            f"{words!r} is no duration; write a number and its unit, such as 1000ms or 1m30s"
        )
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)
