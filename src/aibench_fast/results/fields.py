"""How the fields of a result are declared: once, where the dataclass has them.

    reconnects: int = counter("Reconnects", since="1.5")
    \"\"\"New connections in place of those that the server closed between requests.\"\"\"

The declaration holds the key in the JSON, since which format version it is there, and how the
values of several clients become one; the type and the line of meaning are the field's own. The
others follow: the JSON, its reader and its checks (`fieldjson`), what several clients' results are
together (`merging`), the schema and the documentation's table (`schema`).

A `group` is a dataclass whose keys are among those of the object around it: JSON stays flat.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass
from functools import cache
from itertools import count
from types import UnionType
from typing import Any, TypeVar, get_type_hints

Merge = Callable[[Sequence[Any], str], Any]
"""Of several owners of a field, by its name, the value of all together."""
Getter = TypeVar("Getter", bound=Callable[[Any], Any])
_DECLARED = "declared"
FIRST = "1.0"
"""The first version of the format."""
_order = count()


@dataclass(frozen=True)
class Form:
    """How a value is in JSON, where that does not follow from its type."""

    write: Callable[[Any, bool], Any]
    """Of a value JSON; the flag says whether it is to be with all that reading it back takes."""
    read: Callable[[Any], Any]
    """And back; of the whole object where the form is spread."""
    schema: Mapping[str, Any]
    """Of a spread form that of each of its keys."""
    spread_over: tuple[str, ...] = ()
    """Keys of the object around it, where it has none of its own."""
    reads_null: bool = False
    """Whether null is a value of it, rather than the lack of one."""
    name: str = ""
    """Of its definition in the schema, where several fields have it."""
    values: Any = None
    """The dataclass of its values, where it has such."""


def first(owners: Sequence[Any], name: str) -> Any:
    """Return the first one's value: all have the same, or the first alone knows it."""
    return getattr(owners[0], name)


def by_coordinator(owners: Sequence[Any], name: str) -> Any:
    """Return the first one's value, for which the coordinator of the clients puts its own."""
    return first(owners, name)


def total(owners: Sequence[Any], name: str) -> Any:
    """Return the sum of the values."""
    return sum(getattr(one, name) for one in owners)


@dataclass(frozen=True)
class Declared:
    """What is declared of a field."""

    key: str
    """Of the JSON; none of a group, or of a spread form."""
    since: str = FIRST
    merge: Merge = first
    form: Form | None = None
    default: Any = None
    """What a file means that does not have the key, as it is older than that."""
    least: float | None = 0
    """Of a number."""
    described_by: type | None = None
    """The TypedDict that says which keys an object may have."""
    schema: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """More words of the JSON Schema."""
    is_saved: bool = True
    """False: only a journal has it, and what a client sends to the coordinator."""
    is_group: bool = False
    native: str = ""
    """The counter or histogram of the native core that fills it."""
    summary: str = ""
    """The summary's line where it is not 0; `{}` is the value."""
    order: int = dataclasses.field(default_factory=lambda: next(_order))


def figure(key: str, *, default_factory: Any = MISSING, **declared: Any) -> Any:
    """Declare a field of a dataclass; `declared` are fields of `Declared`."""
    metadata = {_DECLARED: Declared(key, **declared)}
    if default_factory is not MISSING:
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    return dataclasses.field(default=declared.get("default", MISSING), metadata=metadata)


def group(merge: Merge | None = None) -> Any:
    """Declare a field whose type is a dataclass, and whose keys are in the object around it."""
    return figure("", is_group=True, **({} if merge is None else {"merge": merge}))


def counter(key: str, *, native: str, **declared: Any) -> Any:
    """Declare what the native core counts under the name `native`, and clients add up."""
    return figure(key, default=0, native=native, merge=total, **declared)


def computed(key: str, **declared: Any) -> Callable[[Getter], Getter]:
    """Declare a property that is in the JSON; it is never read, as it follows from the fields."""

    def mark(getter: Getter) -> Getter:
        setattr(getter, _DECLARED, Declared(key, **declared))
        return getter

    return mark


class InheritedHere:
    """In a class's body: where in its JSON the keys stand that it inherits; else they are first."""

    def __init__(self, **moved: str) -> None:
        """Take the place; `moved` are keys that stand elsewhere, and behind which key each does."""
        self.order = next(_order)
        self.moved = moved


_FIRST = InheritedHere()


@dataclass(frozen=True)
class Leaf:
    """A value with a key of its own in the JSON of a dataclass, also from within its groups."""

    path: tuple[str, ...]
    """The attributes that lead to it."""
    kind: Any
    """Its type."""
    declared: Declared
    owner: type
    """The class that declares it: the dataclass, one that it inherits, or one of its groups."""
    is_computed: bool

    @property
    def keys(self) -> tuple[str, ...]:
        """Its keys in the JSON: one, but of a spread form."""
        form = self.declared.form
        return (form is not None and form.spread_over) or (self.declared.key,)

    @property
    def is_nullable(self) -> bool:
        """Whether null is allowed."""
        return isinstance(self.kind, UnionType)

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
    """Return what is declared of a dataclass's fields, by their names."""
    fields = dataclasses.fields(kind)
    return {one.name: one.metadata[_DECLARED] for one in fields if _DECLARED in one.metadata}


@cache
def leaves(kind: Any) -> tuple[Leaf, ...]:
    """Return all keys of a dataclass's JSON, in their order."""
    here = next((one for one in vars(kind).values() if isinstance(one, InheritedHere)), _FIRST)
    found: list[tuple[tuple[int, int], list[Leaf]]] = []
    for name, declared in declared_fields(kind).items():
        of_type = hints(kind)[name]
        inner = (
            [dataclasses.replace(one, path=(name, *one.path)) for one in leaves(of_type)]
            if declared.is_group
            else [Leaf((name,), of_type, declared, _owner(kind, name), is_computed=False)]
        )
        found.append((_place(declared, here, is_own=name in kind.__annotations__), inner))
    for name, getter in _getters(kind):
        declared = getattr(getter, _DECLARED)
        leaf = Leaf(
            (name,), hints(getter)["return"], declared, _owner(kind, name), is_computed=True
        )
        found.append((_place(declared, here, is_own=name in vars(kind)), [leaf]))
    ordered = [leaf for _, inner in sorted(found, key=lambda one: one[0]) for leaf in inner]
    for key, after in here.moved.items():
        keys = [one.declared.key for one in ordered]
        leaf = ordered.pop(keys.index(key))
        keys.remove(key)
        ordered.insert(keys.index(after) + 1, leaf)
    return tuple(ordered)


def _getters(kind: Any) -> Iterator[tuple[str, Any]]:
    for name in dir(kind):
        getter = getattr(getattr(kind, name, None), "fget", None)
        if hasattr(getter, _DECLARED):
            yield name, getter


def _owner(kind: Any, name: str) -> Any:
    """Return the class that declares a field, or a computed value: it, or one that it inherits."""
    return next(
        one for one in kind.__mro__ if name in vars(one).get("__annotations__", {}) | vars(one)
    )


def _place(declared: Declared, here: InheritedHere, *, is_own: bool) -> tuple[int, int]:
    return (declared.order, 0) if is_own else (here.order, declared.order)


def native_names(kind: Any) -> dict[str, str]:
    """Return the fields of a dataclass that the native core fills, and its name for each."""
    fields = declared_fields(kind).items()
    return {name: declared.native for name, declared in fields if declared.native}
