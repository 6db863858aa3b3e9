"""Merge the values that several clients have for a field.

`first` and `total`, which most fields use, are in `fields`. Percentiles are never averaged: they
come from the latencies of all clients.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from aibench_fast.results.fields import declared_fields, first
from aibench_fast.results.histogram import LatencyHistogram

Several = TypeVar("Several")


def merged(several: Sequence[Several]) -> Several:
    """Merge dataclasses of the same type, each field as declared."""
    kind: Any = type(several[0])
    fields = declared_fields(kind).items()
    return kind(  # type: ignore[no-any-return]
        **{
            name: (nested if declared.is_group else declared.merge)(several, name)
            for name, declared in fields
        }
    )


def nested(owners: Sequence[Any], name: str) -> Any:
    """Merge dataclasses field by field."""
    return merged([getattr(one, name) for one in owners])


def part_by_part(owners: Sequence[Any], name: str) -> list[Any]:
    """Merge lists of dataclasses by their places in the lists."""
    lists = [getattr(one, name) for one in owners]
    return [merged(parts) for parts in zip(*lists, strict=False)]


def least(owners: Sequence[Any], name: str) -> Any:
    """Return the least known value."""
    return min(_known(owners, name), default=None)


def greatest(owners: Sequence[Any], name: str) -> Any:
    """Return the greatest known value."""
    return max(_known(owners, name), default=None)


def _known(owners: Sequence[Any], name: str) -> list[Any]:
    return [value for one in owners if (value := getattr(one, name)) is not None]


def any_of(owners: Sequence[Any], name: str) -> bool:
    """Return whether any is true."""
    return any(getattr(one, name) for one in owners)


def together(owners: Sequence[Any], name: str) -> LatencyHistogram:
    """Merge histograms."""
    return LatencyHistogram.merged(getattr(one, name) for one in owners)


def by_key(owners: Sequence[Any], name: str) -> dict[str, Any]:
    """Merge mappings of dataclasses by their keys."""
    found: dict[str, list[Any]] = {}
    for one in owners:
        for key, value in getattr(one, name).items():
            found.setdefault(key, []).append(value)
    return {key: merged(values) for key, values in found.items()}


def agreed(owners: Sequence[Any], name: str) -> dict[str, Any]:
    """Return each key's value if all have the same; otherwise all values, in words."""
    several: list[Mapping[str, Any]] = [getattr(one, name) for one in owners]
    facts: dict[str, Any] = {}
    for key in first(owners, name):
        values = [one.get(key) for one in several]
        are_equal = all(value == values[0] for value in values)
        facts[key] = values[0] if are_equal else ", ".join(sorted({*map(str, values)}))
    return facts
