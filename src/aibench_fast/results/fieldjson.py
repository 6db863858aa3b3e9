"""The JSON of declared dataclasses, its reader, and the checks of files; see `fields`."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, is_typeddict

from aibench_fast.errors import ConfigError
from aibench_fast.results.fields import FIRST, Form, declared_fields, hints, leaves

_LARGEST = 2**64
"""Above all counts and measurements."""
_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (NoneType,),
}


def to_json(value: Any, *, exact: bool = False) -> dict[str, Any]:
    """Return a declared dataclass as JSON values; if `exact`, with everything that it takes to read
    the same value back, as for a journal.
    """
    document: dict[str, Any] = {}
    kind: Any = type(value)
    for leaf in leaves(kind):
        declared = leaf.declared
        if not (declared.is_saved or exact):
            continue
        plain = _plain(leaf.of(value), declared.form, exact=exact)
        if declared.form is not None and declared.form.spread_over:
            document |= plain
        else:
            document[declared.key] = plain
    return document


def _plain(value: Any, form: Form | None, *, exact: bool) -> Any:
    if value is None:
        return None
    if form is not None:
        return form.write(value, exact)
    if dataclasses.is_dataclass(value):
        return to_json(value, exact=exact)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {name: _plain(one, None, exact=exact) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one, None, exact=exact) for one in value]
    return value


def from_json(kind: Any, document: Mapping[str, Any], **known: Any) -> Any:
    """Return the dataclass of some JSON; sequences are tuples.

    `known` are fields that are not in the JSON. Missing keys have the default. KeyError, TypeError
    or ValueError if it is something else.
    """
    for field in dataclasses.fields(kind):
        name, declared = field.name, declared_fields(kind).get(field.name)
        if name in known or declared is None:
            continue
        of_type, form = hints(kind)[name], declared.form
        if declared.is_group:
            known[name] = from_json(of_type, document)
        elif form is not None and form.spread_over:
            known[name] = form.read(document)
        elif declared.key in document:
            known[name] = _value(of_type, document[declared.key], form)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise KeyError(declared.key)
    return kind(**known)


def _value(kind: Any, plain: Any, form: Form | None) -> Any:
    if plain is None and isinstance(kind, UnionType):
        return None
    if form is not None:
        return form.read(plain)
    kind = without_none(kind)
    if dataclasses.is_dataclass(kind):
        return from_json(kind, plain)
    if is_typeddict(kind):
        return {name: _value(of_type, plain[name], None) for name, of_type in hints(kind).items()}
    arguments = get_args(kind)
    if get_origin(kind) is Mapping:
        return {name: _value(arguments[1], one, None) for name, one in plain.items()}
    if get_origin(kind) is Sequence:
        return tuple(_value(arguments[0], one, None) for one in plain)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(plain)
    if kind is not Any and not _fits(plain, (kind,)):
        raise TypeError(f"{shown(plain)} is not of type {kind.__name__}")
    return plain


def check_types(kind: Any, document: Mapping[str, Any]) -> None:
    """Check the values of a TypedDict's keys, as far as there are any; TypeError if one has another
    type, KeyError if it lacks a key itself.
    """
    for name, of_type in hints(kind).items():
        if name in document:
            _value(of_type, document[name], None)


def without_none(kind: Any) -> Any:
    """Return the other type of a union with None."""
    if not isinstance(kind, UnionType):
        return kind
    (some,) = (one for one in get_args(kind) if one is not NoneType)
    return some


def schema_of(kind: Any, form: Form | None = None, least: float | None = None) -> dict[str, Any]:
    """Return the JSON Schema of a type, without descriptions; of a dataclass just "object"."""
    if form is not None:
        schema = dict(form.schema)
    elif dataclasses.is_dataclass(of_type := without_none(kind)) or get_origin(of_type) is Mapping:
        schema = {"type": "object"}
    elif get_origin(of_type) is Sequence:
        schema = {"type": "array"}
    elif issubclass(of_type, Enum):
        schema = {"type": "string", "enum": [one.value for one in of_type]}
    else:
        name = {int: "integer", float: "number", bool: "boolean", str: "string"}[of_type]
        schema = {"type": name}
    if least is not None and schema.get("type") in ("integer", "number"):
        schema["minimum"] = least
    if isinstance(kind, UnionType):
        schema = or_null(schema)
    return schema


def or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a value, or of null."""
    if isinstance(schema.get("type"), str):
        return schema | {"type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


@cache
def _expected(kind: Any) -> Mapping[str, tuple[tuple[type, ...], Any]]:
    found = {}
    for leaf in leaves(kind):
        declared = leaf.declared
        words = schema_of(leaf.kind, declared.form).get("type", "object")
        types = [words] if isinstance(words, str) else words
        allowed = tuple(one for word in types for one in _PYTHON_TYPES[word])
        # A file without a key of the first version is aibench's: the value is unknown.
        found[declared.key] = allowed, None if declared.since == FIRST else declared.default
    return found


def known_values(kind: Any, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON values of a dataclass's keys in a file of any version.

    A missing key has its default if a later version than the first added it, else None. ConfigError
    if a value has the wrong type; null is allowed.
    """
    values = {}
    for name, (allowed, default) in _expected(kind).items():
        values[name] = value = document.get(name, default)
        if name in document and value is not None and not _fits(value, allowed):
            raise ConfigError(f"not a result: {name} is {shown(value)}")
    return values


def _fits(value: Any, allowed: tuple[type, ...]) -> bool:
    """Return whether a JSON value is of one of some types; any whole number is an integer."""
    if is_number(value):
        return float in allowed or (int in allowed and value == int(value))
    return isinstance(value, tuple(one for one in allowed if one not in (int, float)))


def number(document: Mapping[str, Any], name: str) -> float:
    """Return a required number; ConfigError if it is missing."""
    value = document.get(name)
    if not is_number(value):
        raise ConfigError(f"not a result: {name} is {shown(value)}, a number is expected")
    return value  # type: ignore[return-value]


def is_number(value: object) -> bool:
    """Return whether it is a finite number below any limit of counts."""
    is_one = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_one and abs(value) < _LARGEST  # type: ignore[arg-type]


def shown(value: object) -> str:
    """Return a value for a message, shortened."""
    try:
        words = repr(value)
    except ValueError:  # of a number of very many digits
        return "an endless number"
    return words if len(words) <= 80 else f"{words[:77]}..."
