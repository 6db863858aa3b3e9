"""A mix: several kinds of request in one run, with weights, from a TOML file.

    [[request]]
    model = "resnet"
    file = "images.out"
    shape = [224, 224, 3]
    weight = 3

    [[request]]
    model = "bert"
    batch-size = 4
    inputs = [
        { name = "input_ids", shape = [128], dtype = "INT64" },
        { name = "attention_mask", shape = [128], dtype = "INT64" },
    ]
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aibench_fast import tensortype
from aibench_fast.errors import ConfigError
from aibench_fast.load.kinds import RequestKind, TensorInput

MAX_KINDS = 64
_REQUEST_KEYS = {"model", "file", "shape", "dtype", "batch-size", "weight", "inputs"}
_INPUT_KEYS = {"name", "file", "shape", "dtype"}


def read_mix(file: Path) -> tuple[RequestKind, ...]:
    """Read a mix; a relative path in it is relative to it.

    ConfigError where it cannot be read, or has a key that does not exist or a value that is none.
    """
    try:
        document = tomllib.loads(file.read_text())
    except OSError as error:
        raise ConfigError(f"--mix {file}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"--mix {file}: {error}") from error
    try:
        _check_keys("the file", document, {"request"})
        requests = _tables("request", document.get("request"))
        if not 1 <= len(requests) <= MAX_KINDS:
            raise ConfigError(
                f"{len(requests)} [[request]] tables; there are from 1 to {MAX_KINDS}"
            )
        return tuple(_kind(request, file.parent) for request in requests)
    except ConfigError as error:
        raise ConfigError(f"--mix {file}: {error}") from error


def _kind(request: Mapping[str, Any], folder: Path) -> RequestKind:
    _check_keys("[[request]]", request, _REQUEST_KEYS)
    tables = request.get("inputs")
    if tables is None:
        inputs = [_input({k: request[k] for k in _INPUT_KEYS & request.keys()}, folder)]
    else:
        if beside := sorted({"file", "shape", "dtype"} & request.keys()):
            raise ConfigError(f"{', '.join(beside)} beside inputs: each input has its own")
        inputs = [_input(table, folder) for table in _tables("inputs", tables)]
    return RequestKind(
        model=_value(request, "model", str, ""),
        inputs=tuple(inputs),
        batch_size=_value(request, "batch-size", int, 1),
        weight=float(_value(request, "weight", (int, float), 1)),
    )


def _input(table: Mapping[str, Any], folder: Path) -> TensorInput:
    _check_keys("inputs", table, _INPUT_KEYS)
    file = _value(table, "file", str, "")
    if not file and "shape" not in table:
        raise ConfigError("an input needs a file, or a shape for generated tensors")
    sizes = _value(table, "shape", list, list(tensortype.image_shape()))
    if not all(isinstance(size, int) and not isinstance(size, bool) for size in sizes):
        raise ConfigError(f"shape = {sizes}: it has to be whole numbers")
    return TensorInput(
        name=_value(table, "name", str, "input"),
        file=folder / file if file else None,
        shape=tuple(sizes),
        dtype=_value(table, "dtype", str, "FLOAT").upper(),
    )


def _check_keys(where: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
    for name in table:
        if name not in known:
            raise ConfigError(
                f"{where} has a key {name!r} that does not exist; there are "
                f"{', '.join(sorted(known))}"
            )


def _tables(name: str, value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ConfigError(f"{name} has to be tables, [[{name}]]")
    return value


def _value(table: Mapping[str, Any], key: str, kind: Any, default: Any) -> Any:
    value = table.get(key, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ConfigError(f"{key} = {value!r}: that is no value for it")
    return value
