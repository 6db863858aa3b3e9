"""A run's settings with what names stand for, and what the server says of the models' inputs."""

import dataclasses

from aibench_fast.load.config import RunConfig


def resolve(config: RunConfig) -> RunConfig:
    """Return the config with all addresses if it asks for them, and what servers say of models.

    ServerError where the server or the model is not there; ConfigError where what is given is not
    what the model takes.
    """
    if config.all_addresses:
        changes = config.protocol.with_all_addresses()
        config = dataclasses.replace(config, **changes, all_addresses=False)
    if not config.is_resolved and config.protocol.streams_tokens:
        config = dataclasses.replace(config, model=config.protocol.find_model())
    if not config.protocol.describes_inputs:
        return config
    kinds = tuple(config.protocol.resolved(config.kinds))
    if config.mix:
        return dataclasses.replace(config, mix=kinds)
    return dataclasses.replace(config, inputs=kinds[0].inputs, file=None)
