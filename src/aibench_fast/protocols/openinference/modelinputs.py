"""The inputs of a run's models as their server describes them."""

from collections.abc import Sequence

from aibench_fast.errors import ConfigError
from aibench_fast.protocols.openinference.client import Client
from aibench_fast.protocols.openinference.model import (
    GIVE,
    ModelMetadata,
    ask_model,
    resolve_input,
)
from aibench_fast.protocols.protocol import InputSpec, KindSpec


def model_inputs(
    client: Client, version: str | None, kinds: Sequence[KindSpec]
) -> list[Sequence[InputSpec]]:
    """Return the inputs of each kind with names, shapes and dtypes as the models have them.

    ServerError and ConfigError as `ServerProtocol.model_inputs`.
    """
    models = {
        name: ask_model(
            client,
            name,
            version,
            inputs_are_given=all(
                one.name and one.shape and one.dtype
                for kind in kinds
                for one in (kind.inputs if kind.model == name else ())
            ),
        )
        for name in dict.fromkeys(kind.model for kind in kinds)
    }
    return [_resolved(kind, models[kind.model]) for kind in kinds]


def _resolved(kind: KindSpec, model: ModelMetadata) -> Sequence[InputSpec]:
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
        return [resolve_input(kind.inputs[0], model.inputs[0], kind.batch_size)]
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
    return [resolve_input(one, named[str(one.name)], kind.batch_size) for one in kind.inputs]
