"""Reads kinds of request as people write them: a mix as a TOML file, an input in one word."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aibench_fast import tensortype
from aibench_fast.errors import ConfigError, misread
from aibench_fast.files import read_text
from aibench_fast.load.kinds import (
    IMAGE_SHAPE,
    MAX_KINDS,
    InputTensor,
    RequestKind,
    body_input,
    check_weights,
)
from aibench_fast.protocols.protocol import MAX_PROMPT_TOKENS, DrawnPrompts
from aibench_fast.protocols.settings import MAX_COUNT, check_range
from aibench_fast.units import bounds, number_range

_INPUT_KEYS = {"name": str, "file": str, "shape": list, "dtype": str}
_PROMPT_KEYS = {
    "prompts": str, "prompt-tokens": (int, str), "output-tokens": (int, str), "tokenizer": str,
}  # fmt: skip
_REQUEST_KEYS = {
    "model": str, "file": str, "shape": list, "dtype": str, "batch-size": int,
    "weight": (int, float), "inputs": list, **_PROMPT_KEYS,
}  # fmt: skip


def read_mix(file: Path) -> tuple[RequestKind, ...]:
    """Read a TOML file of [[request]] tables; ConfigError names the one that is wrong, and how."""
    try:
        document = tomllib.loads(read_text(file))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read `mix` {file}: {misread(error)}") from error
    tables = document.pop("request", None)
    if document or not isinstance(tables, list) or not tables:
        found = ", ".join(document) or "nothing"
        raise ConfigError(f"`mix` {file} has to have [[request]] tables alone; it has {found}")
    if len(tables) > MAX_KINDS:
        raise ConfigError(f"`mix` {file} has {len(tables)} requests; there are at most {MAX_KINDS}")
    kinds = []
    for number, table in enumerate(tables, 1):
        where = f"`mix` {file}, request {number}: "
        kinds.append(_kind(table, where))
        kinds[-1].check(where)
    check_weights(kinds, f"`mix` {file}: ")
    return tuple(kinds)


def _kind(table: Any, where: str) -> RequestKind:
    check_keys(table, _REQUEST_KEYS, where)
    if "model" not in table:
        raise ConfigError(f"{where}model is missing")
    if any(key in table for key in _PROMPT_KEYS):
        inputs = [_prompts(table, where)]
    elif "inputs" in table:
        if own := [key for key in _INPUT_KEYS if key in table]:
            raise ConfigError(f"{where}{own[0]} beside inputs: each of them has its own")
        for one in table["inputs"]:
            check_keys(one, _INPUT_KEYS, f"{where}inputs: ")
        inputs = [_input(one, where) for one in table["inputs"]]
    else:
        inputs = [_input(table, where)]
    weight = float(table.get("weight", 1))
    return RequestKind(table["model"], tuple(inputs), table.get("batch-size", 1), weight)


def _prompts(table: Mapping[str, Any], where: str) -> InputTensor:
    allowed = {*_PROMPT_KEYS, "model", "weight"}
    if others := [key for key in table if key not in allowed]:
        raise ConfigError(f"{where}{others[0]} with prompts: it is of tensors")
    file, length = table.get("prompts"), table.get("prompt-tokens")
    if (file is None) == (length is None):
        raise ConfigError(f"{where}which prompts? give prompts or prompt-tokens")
    most, tokenizer = table.get("output-tokens"), table.get("tokenizer")
    if length is not None:
        drawn = DrawnPrompts(
            _bounds(length, f"{where}prompt-tokens", MAX_PROMPT_TOKENS),
            None if most is None else _bounds(most, f"{where}output-tokens", MAX_COUNT),
            None if tokenizer is None else Path(tokenizer),
        )
        return body_input(None, drawn=drawn)
    if found := [key for key in ("output-tokens", "tokenizer") if key in table]:
        raise ConfigError(f"{where}{found[0]} with prompts: it is for drawn ones")
    return body_input(Path(table["prompts"]), is_prompts=True)


def _bounds(value: int | str, setting: str, most: int) -> tuple[int, int]:
    try:
        found = number_range(str(value))
    except ValueError as error:
        raise ConfigError(f"{setting}: {error}") from error
    check_range(setting, found, most)
    return bounds(found)


def _input(table: Mapping[str, Any], where: str) -> InputTensor:
    file, shape = table.get("file"), table.get("shape")
    if file is None and shape is None:
        raise ConfigError(f"{where}which tensors? give file, or shape for generated ones")
    if shape is not None and not all(type(one) is int for one in shape):
        raise ConfigError(f"{where}shape {shown(shape)}: it has to be whole numbers")
    return InputTensor(
        file=None if file is None else Path(file),
        shape=IMAGE_SHAPE if shape is None else tuple(shape),
        dtype=tensortype.canonical(str(table.get("dtype", "FLOAT"))),
        name=table.get("name"),
    )


def read_input(words: str) -> InputTensor:
    """Read NAME:DTYPE:SHAPE[=FILE], such as `ids:INT64:128=ids.bin`; anything else: ConfigError."""
    spec, _, file = words.partition("=")
    name, dtype, lengths = [*spec.split(":"), "", ""][:3]
    try:
        shape = tuple(int(length) for length in lengths.split(","))
    except ValueError:
        shape = ()
    if not name or spec.count(":") != 2 or not shape:
        raise ConfigError(
            f"`inputs` {words!r}: write NAME:DTYPE:SHAPE, or with =FILE behind it, such as "
            "ids:INT64:128=ids.bin"
        )
    one = InputTensor(Path(file) if file else None, shape, tensortype.canonical(dtype), name)
    tensortype.check(one.shape, one.dtype, f"`inputs` {name}: ")
    return one


def check_keys(table: Any, known: Mapping[str, Any], where: str) -> None:
    """Check the keys of a table and their types; a ConfigError begins with `where`."""
    if not isinstance(table, dict):
        raise ConfigError(f"{where}{shown(table)} is not a table")
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"{where}there is no key {key}; there are {', '.join(known)}")
        if not isinstance(value, known[key]) or isinstance(value, bool) != (known[key] is bool):
            raise ConfigError(f"{where}{key} is {shown(value)}, which is of another type")


def shown(value: Any) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {shown(one)}' for key, one in value.items())}}}"
    return f"'{value}'" if isinstance(value, str) else str(value)
