"""Dataclasses as JSON values and back, by their fields: for what this program alone reads again."""

import dataclasses
from collections.abc import Mapping, Sequence
from enum import Enum
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from aibench_fast.results.histogram import LatencyHistogram


def to_plain(value: Any) -> Any:
    """Return a dataclass, or what its fields may hold, as JSON values."""
    if isinstance(value, LatencyHistogram):
        return {"encoded": value.encode(), "extremes_us": value.extremes_us}
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: to_plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {name: to_plain(one) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_plain(one) for one in value]
    return value


def from_plain(kind: Any, plain: Any) -> Any:
    """Return what `to_plain` was given, which is of type `kind`; sequences are tuples.

    KeyError, TypeError or ValueError where it is something else.
    """
    arguments = get_args(kind)
    if kind is LatencyHistogram:
        return LatencyHistogram.decode(plain["encoded"], plain["extremes_us"])
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        fields = {name: from_plain(hints[name], one) for name, one in plain.items()}
        return kind(**fields)  # type: ignore[operator]
    if isinstance(kind, UnionType):  # of one type and None
        (some,) = (one for one in arguments if one is not NoneType)
        return None if plain is None else from_plain(some, plain)
    if get_origin(kind) is Mapping:
        return {name: from_plain(arguments[1], one) for name, one in plain.items()}
    if get_origin(kind) is Sequence:
        return tuple(from_plain(arguments[0], one) for one in plain)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(plain)
    return plain
