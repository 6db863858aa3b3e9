"""The inputs of a run's models as their server describes them, over HTTP."""

import dataclasses

from aibench_fast.errors import ConfigError
from aibench_fast.load.config import RunConfig
from aibench_fast.load.kinds import InputTensor, RequestKind
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.client import HttpClient
from aibench_fast.protocols.openinference.model import (
    GIVE,
    ModelMetadata,
    ask_model,
    resolve_input,
)


def with_model_inputs(config: RunConfig, address: HttpAddress) -> RunConfig:
    """The config with names, shapes and dtypes as the models at `address` have them.

    ServerError and ConfigError as `resolve`.
    """
    with HttpClient(address, config.patience_s) as client:
        models = {
            name: ask_model(
                client,
                name,
                config.model_version,
                inputs_are_given=all(
                    one.name and one.shape and one.dtype
                    for kind in config.kinds
                    for one in (kind.inputs if kind.model == name else ())
                ),
            )
            for name in config.models
        }
    if config.mix:
        mix = tuple(_resolved(kind, models[kind.model]) for kind in config.mix)
        return dataclasses.replace(config, mix=mix)
    (kind,) = config.kinds
    inputs = _resolved(kind, models[kind.model]).inputs
    return dataclasses.replace(
        config,
        shape=inputs[0].shape,
        dtype=inputs[0].dtype,
        inputs=inputs,
        file=None,
    )


def _resolved(kind: RequestKind, model: ModelMetadata) -> RequestKind:
    named = {one.name: one for one in model.inputs}
    if len(kind.inputs) == 1 and kind.inputs[0].name is None:
        if len(model.inputs) != 1:
            told = ", ".join(map(str, model.inputs))
            if not model.inputs:
                raise ConfigError(
                    f"the server does not say which inputs the model {model.name} takes: {GIVE}"
                )
            raise ConfigError(
                f"the model {model.name} has {len(model.inputs)} inputs: {told}; give --input for "
                "each that is to be sent"
            )
        return dataclasses.replace(kind, inputs=(_input(kind, kind.inputs[0], model, 0),))
    given = [str(one.name) for one in kind.inputs]
    for name in given:
        if given.count(name) > 1:
            raise ConfigError(f"--input {name} is given more than once")
    if not named:  # the trial decides
        return kind
    if not named.keys() >= set(given):
        raise ConfigError(
            f"--input {', '.join(given)}: the model {model.name} takes {', '.join(named)}"
        )
    places = {one.name: place for place, one in enumerate(model.inputs)}
    return dataclasses.replace(
        kind,
        inputs=tuple(_input(kind, one, model, places[str(one.name)]) for one in kind.inputs),
    )


def _input(kind: RequestKind, one: InputTensor, model: ModelMetadata, place: int) -> InputTensor:
    found = resolve_input(
        model.inputs[place],
        shape=one.shape or None,
        dtype=one.dtype or None,
        batch_size=kind.batch_size,
    )
    return InputTensor(one.file, found.shape, found.dtype, found.name, found.is_batched)
