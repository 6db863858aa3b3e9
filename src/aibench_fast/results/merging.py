"""What several clients' values of a field are together: sums of counts, of no percentile a mean.

`first` and `total`, which most fields have, are in `fields`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from aibench_fast.results.fields import declared_fields, first
from aibench_fast.results.histogram import LatencyHistogram

Several = TypeVar("Several")


def merged(several: Sequence[Several]) -> Several:
    """Return one dataclass of several of the same type, field by field as each is declared."""
    kind: Any = type(several[0])
    fields = declared_fields(kind).items()
    return kind(  # type: ignore[no-any-return]
        **{name: declared.merge(several, name) for name, declared in fields}
    )


def nested(owners: Sequence[Any], name: str) -> Any:
    """Merge dataclasses field by field."""
    return merged([getattr(one, name) for one in owners])


def part_by_part(owners: Sequence[Any], name: str) -> list[Any]:
    """Merge lists of dataclasses: those of the same place in each list are one."""
    lists = [getattr(one, name) for one in owners]
    return [merged(parts) for parts in zip(*lists, strict=False)]


def least(owners: Sequence[Any], name: str) -> Any:
    """Return the least of those that are known."""
    return min(_known(owners, name), default=None)


def greatest(owners: Sequence[Any], name: str) -> Any:
    """Return the greatest of those that are known."""
    return max(_known(owners, name), default=None)


def _known(owners: Sequence[Any], name: str) -> list[Any]:
    return [value for one in owners if (value := getattr(one, name)) is not None]


def any_of(owners: Sequence[Any], name: str) -> bool:
    """Return whether any is true."""
    return any(getattr(one, name) for one in owners)


def together(owners: Sequence[Any], name: str) -> LatencyHistogram:
    """Return the latencies of all histograms in one."""
    return LatencyHistogram.merged(getattr(one, name) for one in owners)


def by_key(owners: Sequence[Any], name: str) -> dict[str, Any]:
    """Merge dataclasses of the same key in each mapping."""
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
