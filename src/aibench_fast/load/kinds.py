"""Kinds of request: which model is asked, with which tensors, and how often.

People write them as a TOML file of a mix, or an input in one word.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aibench_fast import tensortype
from aibench_fast.errors import ConfigError, misread
from aibench_fast.files import read_text
from aibench_fast.protocols.protocol import MAX_PROMPT_TOKENS, DrawnPrompts, InputSpec, KindSpec
from aibench_fast.protocols.settings import MAX_COUNT, check_range
from aibench_fast.tensors import bodies, conversations, prompts, strings, tensorfile, trace
from aibench_fast.units import bounds, described_range, number_range

MAX_KINDS = 64
MAX_INPUTS = 14
MAX_WEIGHT = 1e12
MAX_WEIGHT_RATIO = 1e9
"""Between two kinds of a mix: a draw has 53 bits, and each kind needs a range of its own."""
MAX_GENERATED_TENSORS = 2000
MAX_GENERATED_BYTES = 256 << 20
"""Of all generated tensors together, unless a single one is larger."""
MAX_GENERATED_TEXT_BYTES = 16 << 20
"""The same of strings, which take longer to make."""
IMAGE_SHAPE = tensortype.image_shape()
BODY_SHAPE = (1,)
_INPUT_KEYS = {"name": str, "file": str, "shape": list, "dtype": str}
_PROMPT_KEYS = {
    "prompts": str, "prompt-tokens": (int, str), "output-tokens": (int, str), "tokenizer": str,
}  # fmt: skip
_REQUEST_KEYS = {
    "model": str, "file": str, "shape": list, "dtype": str, "batch-size": int,
    "weight": (int, float), "inputs": list, **_PROMPT_KEYS,
}  # fmt: skip


@dataclass(frozen=True)
class InputTensor(InputSpec):
    """One input of a model, and where its tensors come from."""

    @property
    def prompts(self) -> str | None:
        """Return the prompts or bodies in words; None if these are tensors."""
        if self.drawn is not None:
            return f"prompts of {described_range(self.drawn.prompt_tokens)} tokens"
        return f"lines of {self.file}" if self.is_body and self.file is not None else None

    @property
    def files(self) -> list[Path]:
        """Return the files that are read; ConfigError if some are missing."""
        if self.file is None:
            return []
        return bodies.files_of(self.file) if self.is_body else tensorfile.files_of(self.file)

    @property
    def tensor_bytes(self) -> int:
        """Return the size of one tensor without the batch, in bytes; for strings an estimate."""
        return tensortype.tensor_bytes(self.shape, self.dtype)

    @property
    def has_conversations(self) -> bool:
        """Return whether its prompts are turns of conversations; ConfigError as `count_tensors`."""
        if not self.is_prompts or self.file is None:
            return False
        return isinstance(conversations.read(self.file), conversations.Conversations)

    def count_tensors(self) -> int:
        """Return how many tensors there are; ConfigError if the file is not a tensor file."""
        if self.drawn is not None:
            return prompts.most_drawn(self.drawn.prompt_tokens)
        if self.file is None:
            most_bytes = MAX_GENERATED_TEXT_BYTES if self.is_strings else MAX_GENERATED_BYTES
            generated = max(1, min(MAX_GENERATED_TENSORS, most_bytes // self.tensor_bytes))
            return 1 if self.is_body else generated
        if self.is_trace:
            return len(trace.read(self.file))
        if self.is_prompts:
            return len(conversations.read(self.file))
        if self.is_body:
            return bodies.count(self.file)
        if self.is_strings:
            return len(strings.read(self.file, self.shape))
        return tensorfile.check(self.file, self.shape, self.dtype)


body_input = partial(InputTensor, shape=BODY_SHAPE, dtype=tensortype.STRINGS, is_body=True)
"""Makes the input of bodies, prompts or a trace of a file or a folder, or of drawn prompts."""


@dataclass(frozen=True)
class RequestKind(KindSpec):
    """One kind of request, and how often it is sent."""

    inputs: tuple[InputTensor, ...]
    weight: float = 1.0
    """Its share of the requests, relative to the other kinds'."""

    @property
    def has_strings(self) -> bool:
        """Return whether an input is of strings, so that each request has a length of its own."""
        return any(one.is_strings for one in self.inputs)

    @property
    def is_drawn(self) -> bool:
        """Return whether its prompts are drawn."""
        return any(one.drawn is not None for one in self.inputs)

    @property
    def request_bytes(self) -> int:
        """Return the size of all tensors of a request, in bytes; with strings an estimate."""
        return self.batch_size * sum(one.tensor_bytes for one in self.inputs)

    def request_shape(self, one: InputTensor) -> tuple[int, ...]:
        """Return an input's shape as sent: with an axis for the batch, or it is along the first."""
        if one.is_batched:
            return (self.batch_size, *one.shape)
        first, *others = one.shape
        return (self.batch_size * first, *others)

    @property
    def tensors(self) -> str:
        """Return the tensors of a request in words, or which prompts it is one of."""
        return " and ".join(
            one.prompts or tensortype.describe(self.request_shape(one), one.dtype)
            for one in self.inputs
        )

    def check(self, where: str = "") -> None:
        """Raise ConfigError if there cannot be such a request; `where` names the table it is of."""
        if not self.model:
            raise ConfigError(
                f"{_named('model', where)} is empty: name the key that it is stored under"
            )
        if not 1 <= len(self.inputs) <= MAX_INPUTS:
            raise ConfigError(f"{where}{len(self.inputs)} inputs; there are from 1 to {MAX_INPUTS}")
        for one in self.inputs:
            tensortype.check(one.shape, one.dtype, where)
        largest = max(one.tensor_bytes for one in self.inputs)
        if not 1 <= self.batch_size <= tensortype.MAX_TENSOR_BYTES // largest:
            raise ConfigError(
                f"{_named('batch_size', where)} {self.batch_size}: it has to be from 1 to "
                f"{tensortype.MAX_TENSOR_BYTES // largest}"
            )
        if not 0 < self.weight <= MAX_WEIGHT:
            raise ConfigError(
                f"{_named('weight', where)} {self.weight:g}: it has to be above 0 and up to "
                f"{MAX_WEIGHT:g}"
            )

    def count_tensors(self) -> int:
        """Return how many tensors there are of each input; ConfigError where files do not agree."""
        files = {one.file: one.count_tensors() for one in self.inputs if one.file is not None}
        if len(set(files.values())) > 1:
            found = ", ".join(f"{file} has {count}" for file, count in files.items())
            raise ConfigError(f"the inputs of {self.model} belong together, but {found} tensors")
        return min(files.values() or [one.count_tensors() for one in self.inputs])


def _named(setting: str, where: str) -> str:
    """Return a setting as it is called in a table, or where there is none, as an argument."""
    return f"{where}{setting.replace('_', '-')}" if where else f"`{setting}`"


def check_weights(kinds: Sequence[RequestKind], where: str) -> None:
    """ConfigError where the weights of a mix are so far apart that a kind would never be sent."""
    least, most = (pick(kinds, key=lambda kind: kind.weight) for pick in (min, max))
    if most.weight > MAX_WEIGHT_RATIO * least.weight:
        raise ConfigError(
            f"{where}the weights {least.weight:g} ({least.model}) and {most.weight:g} "
            f"({most.model}) are too far apart: the largest may be at most {MAX_WEIGHT_RATIO:g} "
            "times the smallest"
        )


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
