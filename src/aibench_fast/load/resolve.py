"""What is asked for, held against what a server of the Open Inference Protocol says of a model."""

import dataclasses

from aibench_fast.errors import ConfigError
from aibench_fast.load.config import RunConfig
from aibench_fast.load.kinds import InputTensor, RequestKind
from aibench_fast.protocols.openinference.client import HttpClient
from aibench_fast.protocols.openinference.model import ModelMetadata, ask_model, resolve_input


def resolve(config: RunConfig) -> RunConfig:
    """The config with names, shapes and dtypes as the model has them; as it is without `url`.

    ServerError where the server or the model is not there; ConfigError where what was asked for is
    not what the model takes.
    """
    address = config.http_address
    if address is None:
        return config
    with HttpClient(address) as client:
        models = {name: ask_model(client, name, config.model_version) for name in config.models}
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
            raise ConfigError(
                f"the model {model.name} has {len(model.inputs)} inputs: {told}; give --input for "
                "each"
            )
        return dataclasses.replace(kind, inputs=(_input(kind, kind.inputs[0], model, 0),))
    given = [one.name for one in kind.inputs]
    if sorted(map(str, given)) != sorted(named):
        raise ConfigError(
            f"--input {', '.join(map(str, given))}: the model {model.name} takes {', '.join(named)}"
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
