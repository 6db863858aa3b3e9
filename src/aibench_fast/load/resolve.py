"""A run's settings with what names stand for, and what the server says of the models' inputs."""

import dataclasses

from aibench_fast.load.config import RunConfig
from aibench_fast.load.kinds import InputTensor


def resolve(config: RunConfig) -> RunConfig:
    """Return the config with all addresses of its servers, and the models' names and shapes.

    The former where `all_addresses` asks for them, the latter where servers describe their models.

    ServerError where the server or the model is not there; ConfigError where what is given is not
    what the model takes.
    """
    if config.all_addresses:
        changes = config.protocol.with_all_addresses()
        config = dataclasses.replace(config, **changes, all_addresses=False)
    if not config.is_resolved and config.protocol.mixes_bodies:
        config = dataclasses.replace(config, model=config.protocol.find_model())
    return _with_model_inputs(config) if config.protocol.describes_inputs else config


def _with_model_inputs(config: RunConfig) -> RunConfig:
    kinds = tuple(
        dataclasses.replace(
            kind,
            inputs=tuple(
                InputTensor(one.file, found.shape, found.dtype, found.name, found.is_batched)
                for one, found in zip(kind.inputs, inputs, strict=True)
            ),
        )
        for kind, inputs in zip(
            config.kinds, config.protocol.model_inputs(config.kind_specs), strict=True
        )
    )
    if config.mix:
        return dataclasses.replace(config, mix=kinds)
    return dataclasses.replace(config, inputs=kinds[0].inputs, file=None)
