"""The JSON Schema of a result, and a table of its fields for people, from their declarations.

`make fields` writes both; a test holds that they are up to date.
"""

import ast
import dataclasses
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, is_typeddict

from aibench_fast.files import write_text
from aibench_fast.results.fieldjson import or_null, schema_of, without_none
from aibench_fast.results.fields import FIRST, Leaf, declared_fields, first, hints, leaves
from aibench_fast.results.figures import Figures
from aibench_fast.results.result import Result

SCHEMA_FILE = "result.schema.json"
TABLE_FILE = "result-fields.md"
_ABOUT = (
    "What one run measured. aibench's keys keep their names and meaning; the others are ours. "
    "Latencies are milliseconds. Unless a key says otherwise, warm-up requests (the burn-in) are "
    "excluded. A reader ignores keys that it does not know: a minor version adds keys, a major one "
    "changes the meaning of some."
)
_TABLE_HEAD = """# Fields of a result

A result is a JSON file. `make fields` makes this page and the JSON Schema,
[result.schema.json](result.schema.json), from the declarations of the fields. "Since" is the
version of the format that added a key, where it was not there from the start. "Clients" is how the
values of [several clients](clients.md) become one, where that is not the first client's.
[Reading results](results.md) says more.
"""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a result."""
    definitions: dict[str, Any] = {}
    document = _object(Result, FIRST, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "aibench-fast result",
        "description": _ABOUT,
        **document,
        "$defs": dict(sorted(definitions.items())),
    }


def _object(kind: Any, since: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a dataclass or TypedDict that a version added."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    if is_typeddict(kind):
        for name, of_type in hints(kind).items():
            words = {} if of_type is Any else _of_type(of_type, since, definitions)
            properties[name] = words | {"description": _meanings(kind)[name]}
        return {"type": "object", "properties": properties}
    for leaf in leaves(kind):
        if not leaf.declared.is_saved:
            continue
        properties |= dict.fromkeys(leaf.keys, _of_leaf(leaf, definitions))
        if _version(leaf.declared.since) <= _version(since):
            required += leaf.keys
    return {"type": "object", "required": required, "properties": properties}


def _of_leaf(leaf: Leaf, definitions: dict[str, Any]) -> dict[str, Any]:
    declared, form = leaf.declared, leaf.declared.form
    words: dict[str, Any]
    if form is not None and form.name:
        definitions[form.name] = form.schema
        words = {"$ref": f"#/$defs/{form.name}"}
        if leaf.is_nullable:
            words = or_null(words)
    elif form is not None:
        words = schema_of(leaf.kind, form)
        if form.values is not None:
            words["additionalProperties"] = _of_type(form.values, declared.since, definitions)
    elif declared.described_by is not None:
        words = _of_type(declared.described_by, declared.since, definitions)
        words = or_null(words) if leaf.is_nullable else words
    else:
        words = _of_type(leaf.kind, declared.since, definitions, declared.least)
    return {**words, **declared.schema, "description": _description(leaf)}


def _of_type(
    kind: Any, since: str, definitions: dict[str, Any], least: float | None = None
) -> dict[str, Any]:
    inner = without_none(kind)
    if dataclasses.is_dataclass(inner) or is_typeddict(inner):
        name = inner.__name__
        definitions[name] = _object(inner, since, definitions)
        reference = {"$ref": f"#/$defs/{name}"}
        return reference if inner is kind else or_null(reference)
    words = schema_of(kind, least=least)
    if get_origin(inner) is Sequence:
        words["items"] = _of_type(get_args(inner)[0], since, definitions, least)
    elif get_origin(inner) is Mapping and get_args(inner)[1] is not Any:
        words["additionalProperties"] = _of_type(get_args(inner)[1], since, definitions, least)
    return words


def table() -> str:
    """Return the page of all fields, as Markdown."""
    return _TABLE_HEAD + "".join(_section(kind) for kind in dict.fromkeys(_sections(Result)))


def _sections(kind: Any) -> Iterator[Any]:
    """Yield a class, its bases and groups, and the classes of its values."""
    yield kind
    if is_typeddict(kind):
        return
    yield from dict.fromkeys(leaf.owner for leaf in leaves(kind))
    for leaf in leaves(kind):
        if (inner := _inner(leaf)) is not None:
            yield from _sections(inner)


def _inner(leaf: Leaf) -> Any:
    """Return the class of a value or of the values in it; None for numbers and text."""
    form = leaf.declared.form
    found = form.values if form is not None else leaf.declared.described_by
    kind = without_none(leaf.kind)
    for one in (found, kind, *get_args(kind)):
        if is_typeddict(one) or (dataclasses.is_dataclass(one) and one is not None):
            return one
    return None


def _section(kind: Any) -> str:
    about = (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ")
    lines = [f"\n## {kind.__name__}\n", f"{about}{_where(kind)}\n"]
    if is_typeddict(kind):
        lines += ["| key | meaning |", "| --- | --- |"]
        lines += [f"| `{name}` | {meaning} |" for name, meaning in _meanings(kind).items()]
    else:
        lines += ["| key | attribute | type | since | clients | meaning |", "| --- " * 6 + "|"]
        lines += [_row(leaf) for leaf in leaves(kind) if leaf.owner is kind]
    return "\n".join(lines) + "\n"


def _where(kind: Any) -> str:
    """Return the place of a group in a result, and which class has inherited keys."""
    groups = [name for name, one in declared_fields(Result).items() if one.is_group]
    of_result = [f" In Python `result.{name}`." for name in groups if hints(Result)[name] is kind]
    inherits = kind is not Figures and Figures in getattr(kind, "__mro__", ())
    return "".join([*of_result, " Beside these it has the [Figures](#figures)." * inherits])


def _row(leaf: Leaf) -> str:
    declared = leaf.declared
    keys = ", ".join(f"`{key}`" for key in leaf.keys) if declared.is_saved else "in journals alone"
    since = "" if declared.since == FIRST else declared.since
    merge = "" if declared.merge is first else declared.merge.__name__.replace("_", " ")
    return (
        f"| {keys} | `{leaf.path[-1]}` | {_type_words(leaf)} | {since} | "
        f"{'computed' if leaf.is_computed else merge} | {_meaning(leaf)} |"
    )


def _type_words(leaf: Leaf) -> str:
    inner, form = _inner(leaf), leaf.declared.form
    if form is not None and form.name:
        words = form.name
    elif inner is not None:
        words = f"[{inner.__name__}](#{inner.__name__.lower()})"
        if inner not in (without_none(leaf.kind), leaf.declared.described_by):
            words = f"several {words}"
    else:
        found = schema_of(without_none(leaf.kind), form)["type"]
        words = found if isinstance(found, str) else " or ".join(found)
    return f"{words} or null" if leaf.is_nullable else words


def _description(leaf: Leaf) -> str:
    since = leaf.declared.since
    return _meaning(leaf) + ("" if since == FIRST else f" Since {since}.")


def _meaning(leaf: Leaf) -> str:
    """Return a field's docstring, in JSON's terms."""
    kind, name = leaf.owner, leaf.path[-1]
    text = _one_line(getattr(kind, name).__doc__) if leaf.is_computed else _meanings(kind)[name]
    return re.sub(r"\bNone\b", "null", text)


@cache
def _meanings(kind: Any) -> dict[str, str]:
    """Return the docstrings of a class's attributes by name, inherited ones included."""
    found: dict[str, str] = {}
    for one in reversed(getattr(kind, "__mro__", (kind,))):
        if dataclasses.is_dataclass(one) or is_typeddict(one):
            (body,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
            assert isinstance(body, ast.ClassDef)
            for field, after in zip(body.body, body.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
                    assert isinstance(field.target, ast.Name)
                    assert isinstance(after.value, ast.Constant)
                    found[field.target.id] = _one_line(str(after.value.value))
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _version(since: str) -> tuple[int, ...]:
    return tuple(map(int, since.split(".")))


def main(folder: Path) -> None:
    """Write both into a folder; ConfigError if that fails."""
    write_text(folder / SCHEMA_FILE, json.dumps(schema(), indent=2) + "\n")
    write_text(folder / TABLE_FILE, table())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
