"""What the plain values of a result's JSON are held against before anything is made of them."""

from collections.abc import Mapping
from types import UnionType
from typing import Any

from aibench_fast.errors import ConfigError

NUMBER = int | float
_LARGEST = 2**64
_KINDS: Mapping[str, type | UnionType] = {
    "MaxRps": NUMBER,
    "ServerName": str,
    "Latency": str,
    "StartTime": NUMBER,
    "DurationMillis": NUMBER,
    "Model": str,
    "Query": str,
    "DataFile": str,
    "DataSeed": int,
    "Shape": list,
    "Dtype": str,
    "Kinds": list,
    "Threads": int,
    "Pipeline": int,
    "Server": dict,
    "ServerPeriods": dict,
    "ServerRunTimeStats": dict,
    "ClientRunTimeStats": dict,
    "Facts": dict,
    "OverallRatesIncludingWarmup": dict,
    "Requests": int,
    "Successes": int,
    "LateStarts": int,
    "Failures": dict,
    "BurnInFailures": dict,
    "Warnings": list,
    "ClientCheck": dict,
    "ClientBusiestThread": NUMBER,
}
"""Of those that a file may be without."""


def check_plain_values(document: Mapping[str, Any]) -> None:
    """ConfigError where a value is of another type than a result has there; null is as none."""
    for name, kind in _KINDS.items():
        value = document.get(name)
        if value is None:
            continue
        if not isinstance(value, kind) or (isinstance(value, NUMBER) and not _is_number(value)):
            raise ConfigError(f"it is no result: {name} is {shown(value)}")


def number(document: Mapping[str, Any], name: str) -> float:
    """A number that has to be there; ConfigError where it is not."""
    value = document.get(name)
    if not isinstance(value, NUMBER) or not _is_number(value):
        raise ConfigError(f"it is no result: {name} is {shown(value)}, a number is expected")
    return value


def shown(value: object) -> str:
    """A value as a message shows it, cut where it is long; Python prints no endless number."""
    try:
        words = repr(value)
    except ValueError:
        return "an endless number"
    return words if len(words) <= 80 else f"{words[:77]}..."


def _is_number(value: float) -> bool:
    """Whether it is finite, and no larger than anything that is counted."""
    return abs(value) < _LARGEST
