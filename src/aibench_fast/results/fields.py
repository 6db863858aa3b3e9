"""Declare the fields of a result: each once, where its dataclass has it.

    reconnects: int = counter("Reconnects", since="1.5")
    \"\"\"New connections in place of those that the server closed between requests.\"\"\"

The declaration has the JSON key, the format version that added it, and how the values of several
clients become one. The type and the docstring are the field's own. Everything else follows: the
JSON, its reader and checks (`fieldjson`), the merge of clients, the schema and the documentation's
table (`tools/result_fields.py`). Percentiles are never averaged: they come from the latencies of
all clients.

The keys of a `group`, a nested dataclass, are in the object around it: the JSON stays flat.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from functools import cache
from itertools import count
from types import UnionType
from typing import Any, TypeVar, get_type_hints

from aibench_fast.results.histogram import LatencyHistogram

Merge = Callable[[Sequence[Any], str], Any]
"""Returns the value of several owners of a field together, by the field's name."""
Getter = TypeVar("Getter", bound=Callable[[Any], Any])
Several = TypeVar("Several")
_DECLARED = "declared"
FIRST = "1.0"
"""The first version of the format."""
_order = count()


@dataclass(frozen=True)
class Form:
    """The JSON of a value, if that does not follow from its type."""

    write: Callable[[Any, bool], Any]
    """Value to JSON; the flag asks for everything that it takes to read the same value back."""
    read: Callable[[Any], Any]
    """JSON to value; from the object around it if the form is spread over keys."""
    schema: Mapping[str, Any]
    """The JSON Schema; of a spread form that of each key."""
    spread_over: tuple[str, ...] = ()
    """Keys in the object around it, if it has no key of its own."""
    name: str = ""
    """Its definition's name in the schema, if several fields share it."""
    values: Any = None
    """The dataclass of its values, if it has such."""


def first(owners: Sequence[Any], name: str) -> Any:
    """Return the first value: all are the same, or only the first client knows it."""
    return getattr(owners[0], name)


def by_coordinator(owners: Sequence[Any], name: str) -> Any:
    """Return the first value, which the coordinator of the clients replaces."""
    return first(owners, name)


def total(owners: Sequence[Any], name: str) -> Any:
    """Return the sum of the values."""
    return sum(getattr(one, name) for one in owners)


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


@dataclass(frozen=True)
class Declared:
    """The declaration of a field."""

    key: str
    """The JSON key; empty for a group or a spread form."""
    since: str = FIRST
    merge: Merge = first
    form: Form | None = None
    default: Any = None
    """The value of files that are older than the key."""
    least: float | None = 0
    """The minimum of a number."""
    described_by: type | None = None
    """The TypedDict with the keys that an object may have."""
    schema: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """More words of the JSON Schema."""
    is_saved: bool = True
    """False: only in journals and in reports of clients."""
    is_group: bool = False
    is_native: bool = False
    """Whether a counter or histogram of the native core fills it."""
    native: str = ""
    """The native core's name for it, if that is not the field's."""
    summary: str = ""
    """The line of the summary if it is not 0; `{}` is the value."""
    order: int = dataclasses.field(default_factory=lambda: next(_order))


def figure(key: str, *, default_factory: Any = MISSING, **declared: Any) -> Any:
    """Declare a field of a dataclass; `declared` are fields of `Declared`."""
    metadata = {_DECLARED: Declared(key, **declared)}
    if default_factory is not MISSING:
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    return dataclasses.field(default=declared.get("default", MISSING), metadata=metadata)


def group(**declared: Any) -> Any:
    """Declare a nested dataclass whose keys are in the object around it."""
    return figure("", merge=nested, is_group=True, **declared)


def counter(key: str, **declared: Any) -> Any:
    """Declare a counter of the native core of the field's name; clients add up."""
    return figure(key, default=0, is_native=True, merge=total, **declared)


def computed(key: str, **declared: Any) -> Callable[[Getter], Getter]:
    """Declare a property that is in the JSON but never read, as it follows from the fields."""

    def mark(getter: Getter) -> Getter:
        setattr(getter, _DECLARED, Declared(key, **declared))
        return getter

    return mark


class InheritedHere:
    """Marks in a class body where the inherited keys are in the JSON; by default they are first."""

    def __init__(self, **moved: str) -> None:
        """`moved` are keys that are elsewhere: each after the key that it names."""
        self.order = next(_order)
        self.moved = moved


_FIRST = InheritedHere()


@dataclass(frozen=True)
class Leaf:
    """A value with a key in the JSON of a dataclass, possibly within a group."""

    path: tuple[str, ...]
    """The attributes that lead to it."""
    kind: Any
    """Its type."""
    declared: Declared
    owner: type
    """The class that declares it: the dataclass, one of its bases or of its groups."""
    is_computed: bool

    @property
    def keys(self) -> tuple[str, ...]:
        """Its keys in the JSON: one, unless the form is spread over several."""
        form = self.declared.form
        return (form is not None and form.spread_over) or (self.declared.key,)

    @property
    def is_nullable(self) -> bool:
        """Whether null is allowed."""
        return isinstance(self.kind, UnionType)

    @property
    def inner(self) -> Sequence["Leaf"]:
        """The leaves of a group; otherwise the leaf itself."""
        if not self.declared.is_group:
            return [self]
        return [dataclasses.replace(one, path=self.path + one.path) for one in leaves(self.kind)]

    def of(self, value: Any) -> Any:
        """Return the value that a dataclass has there."""
        for name in self.path:
            value = getattr(value, name)
        return value


@cache
def hints(kind: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields."""
    return get_type_hints(kind)


@cache
def declared_fields(kind: Any) -> Mapping[str, Declared]:
    """Return the declarations of a dataclass's fields, by name."""
    fields = dataclasses.fields(kind)
    return {one.name: one.metadata[_DECLARED] for one in fields if _DECLARED in one.metadata}


@cache
def leaves(kind: Any) -> tuple[Leaf, ...]:
    """Return all values in a dataclass's JSON, in order."""
    here = next((one for one in vars(kind).values() if isinstance(one, InheritedHere)), _FIRST)

    def place(leaf: Leaf) -> tuple[int, int]:
        order = leaf.declared.order
        return (order, 0) if leaf.owner is kind else (here.order, order)

    own = [
        Leaf((name,), hints(kind)[name], declared, _owner(kind, name), is_computed=False)
        for name, declared in declared_fields(kind).items()
    ]
    getters = {name: getattr(getattr(kind, name, None), "fget", None) for name in dir(kind)}
    own += [
        Leaf(
            (name,), hints(getter)["return"], getattr(getter, _DECLARED), _owner(kind, name),
            is_computed=True,
        )
        for name, getter in getters.items()
        if hasattr(getter, _DECLARED)
    ]  # fmt: skip
    ordered = [leaf for one in sorted(own, key=place) for leaf in one.inner]
    for key, after in here.moved.items():
        keys = [one.declared.key for one in ordered]
        leaf = ordered.pop(keys.index(key))
        keys.remove(key)
        ordered.insert(keys.index(after) + 1, leaf)
    return tuple(ordered)


def _owner(kind: Any, name: str) -> Any:
    """Return the class or base that declares a field or computed value."""
    return next(
        one for one in kind.__mro__ if name in vars(one).get("__annotations__", {}) | vars(one)
    )


def native_names(kind: Any) -> dict[str, str]:
    """Return the fields of a dataclass that the native core fills, and its name for each."""
    fields = declared_fields(kind).items()
    return {name: declared.native or name for name, declared in fields if declared.is_native}


def merged(several: Sequence[Several]) -> Several:
    """Merge dataclasses of the same type, each field as declared."""
    kind: Any = type(several[0])
    values = {name: one.merge(several, name) for name, one in declared_fields(kind).items()}
    return kind(**values)  # type: ignore[no-any-return]
