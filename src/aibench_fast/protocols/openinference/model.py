"""A model's metadata, and the inputs of a run by it: names, datatypes and shapes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.openinference.client import Client, Refusal, Refused
from aibench_fast.protocols.openinference.oiptensors import (
    FREE,
    THEIRS,
    TensorMetadata,
    following_protocol,
    our_dtype,
)
from aibench_fast.protocols.protocol import AnyKind, InputSpec, KindSpec
from aibench_fast.tensortype import STRINGS

SHOWN_MODELS = 10
GIVE = "give `inputs` NAME:DATATYPE:SHAPE for each input to send"


@dataclass(frozen=True)
class ModelMetadata:
    """A model."""

    name: str
    inputs: Sequence[TensorMetadata]
    """Empty where the server names none: then any may be sent."""
    outputs: Sequence[TensorMetadata] | None
    """None where the server names none."""


def ask_model(
    client: Client, model: str, version: str | None, *, inputs_are_given: bool
) -> ModelMetadata:
    """Ask for a model's metadata, and whether it is ready.

    A server may have no metadata, or leave out inputs and outputs: where `inputs_are_given` by the
    user the trial request then decides. ServerError, in the server's words and with the models that
    there are, where there is no such model, or it is not ready.
    """
    document: Mapping[str, Any] = {}
    refused: Refused | None = None
    try:
        document = client.model(model, version)
    except Refused as error:
        refused = error
        there = client.ready_models()
        if there is not None and model not in there:
            raise ServerError(f"{error}{_shown(there)}") from error
        if error.refusal not in (Refusal.NO_SUCH_CALL, Refusal.NOT_THERE):
            raise
        if not inputs_are_given:
            raise ServerError(f"{error}; if it answers requests all the same, {GIVE}") from error
    try:
        client.check_ready(model, version)
    except ServerError as not_ready:
        raise refused or not_ready from None
    with following_protocol(f"the metadata of the model {model}"):
        return ModelMetadata(
            name=model,
            inputs=_tensors(document.get("inputs") or ()),
            outputs=_tensors(document.get("outputs") or ()) or None,
        )


def _shown(models: Sequence[str]) -> str:
    if not models:
        return ""
    more = len(models) - SHOWN_MODELS
    names = [*models[:SHOWN_MODELS], *([f"and {more} more"] if more > 0 else [])]
    return f"; there are {', '.join(names)}"


def _tensors(described: Sequence[Mapping[str, Any]]) -> list[TensorMetadata]:
    return [
        TensorMetadata(str(one["name"]), str(one["datatype"]), [int(n) for n in one["shape"]])
        for one in described
    ]


def _resolved_input(given: InputSpec, wanted: TensorMetadata, batch_size: int) -> InputSpec:
    """Return an input as given, the rest as the model has it; ConfigError if that does not fit."""
    found = our_dtype(wanted.datatype, f"input {wanted.name}")
    if given.dtype and given.dtype != found:
        raise ConfigError(
            f"datatype {THEIRS[given.dtype]}: the model's input is {wanted}; ask for that"
        )
    shape = given.shape
    if not shape:
        shape, is_batched = _own_shape(wanted, batch_size)
    else:
        is_batched = wanted.fits((batch_size, *shape))
        is_alone = batch_size == 1 and wanted.fits(shape)
        is_list = _is_list(wanted) and len(shape) == 1
        if not is_batched and not is_alone and not is_list:
            sent = " x ".join(map(str, (batch_size, *shape)))
            raise ConfigError(
                f"shape {','.join(map(str, shape))} in a batch of {batch_size} makes tensors of "
                f"{sent}; the model's input is {wanted}"
            )
    return replace(given, name=wanted.name, shape=shape, dtype=found, is_batched=is_batched)


def _own_shape(wanted: TensorMetadata, batch_size: int) -> tuple[tuple[int, ...], bool]:
    """Return the model's shape of one tensor, and whether a batch stands before it.

    Where an axis of strings is left open, a tensor has one of them.
    """
    first, *rest = wanted.shape or [FREE]
    is_batched = first in (FREE, batch_size) and bool(rest)
    shape = tuple(rest if is_batched else wanted.shape)
    if wanted.datatype == STRINGS:
        shape = tuple(1 if length == FREE else length for length in shape)
    if _is_list(wanted):
        return shape, False
    if FREE in shape:
        raise ConfigError(f"the model's input is {wanted}: give `shape`, with every length")
    if not is_batched and batch_size != 1:
        raise ConfigError(
            f"`batch_size` {batch_size}: the model's input is {wanted}, one at a time"
        )
    return shape, is_batched


def _is_list(wanted: TensorMetadata) -> bool:
    """Return whether it takes any number of strings along its one axis, which is the batch."""
    return wanted.datatype == STRINGS and list(wanted.shape) == [FREE]


def resolved(client: Client, version: str | None, kinds: Sequence[AnyKind]) -> list[AnyKind]:
    """Return the kinds with their inputs as the models have them; ServerError and ConfigError."""
    models = {}
    for name in dict.fromkeys(kind.model for kind in kinds):
        inputs = [one for kind in kinds if kind.model == name for one in kind.inputs]
        are_given = all(one.name and one.shape and one.dtype for one in inputs)
        models[name] = ask_model(client, name, version, inputs_are_given=are_given)
    return [replace(kind, inputs=tuple(_inputs(kind, models[kind.model]))) for kind in kinds]


def _inputs(kind: KindSpec, model: ModelMetadata) -> Sequence[InputSpec]:
    if len(kind.inputs) == 1 and kind.inputs[0].name is None:
        if not model.inputs:
            raise ConfigError(
                f"the server does not say which inputs the model {model.name} takes: {GIVE}"
            )
        if len(model.inputs) > 1:
            described = ", ".join(map(str, model.inputs))
            raise ConfigError(
                f"the model {model.name} has {len(model.inputs)} inputs: {described}; give "
                "`inputs` for each that is to be sent"
            )
        return [_resolved_input(kind.inputs[0], model.inputs[0], kind.batch_size)]
    given = [str(one.name) for one in kind.inputs]
    for name in given:
        if given.count(name) > 1:
            raise ConfigError(f"`inputs` {name} is given more than once")
    if not model.inputs:  # the trial decides
        return kind.inputs
    named = {one.name: one for one in model.inputs}
    if not named.keys() >= set(given):
        raise ConfigError(
            f"`inputs` {', '.join(given)}: the model {model.name} takes {', '.join(named)}"
        )
    return [_resolved_input(one, named[str(one.name)], kind.batch_size) for one in kind.inputs]
