"""What is asked for, held against what names stand for, and what a server says of a model."""

import dataclasses

from aibench_fast.errors import ConfigError
from aibench_fast.load.config import RunConfig
from aibench_fast.load.kinds import InputTensor, RequestKind
from aibench_fast.protocols.address import HttpAddress, all_addresses
from aibench_fast.protocols.openinference.client import HttpClient
from aibench_fast.protocols.openinference.model import (
    GIVE,
    ModelMetadata,
    ask_model,
    resolve_input,
)
from aibench_fast.protocols.tls import TlsSettings


def resolve(config: RunConfig) -> RunConfig:
    """The config with all addresses of its servers, and names and shapes as the model has them.

    The former where `all_addresses` asks for them, the latter, and dtypes, with a `url`.

    ServerError where the server or the model is not there; ConfigError where what was asked for is
    not what the model takes.
    """
    if config.all_addresses:
        config = _with_all_addresses(config)
    address = config.http_address
    if address is None:
        return config
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


def _with_all_addresses(config: RunConfig) -> RunConfig:
    """Each server as many as its name has addresses."""
    if config.http_address:
        urls = [url for one in config.http_addresses for url in _urls(one)]
        tls = config.tls
        if len(config.http_addresses) == 1 and (spoken := config.http_address.tls):
            tls = _named(spoken, config.http_address.host)
        return dataclasses.replace(
            config, url=urls[0], others=tuple(urls[1:]), tls=tls, all_addresses=False
        )
    first, *others = [
        dataclasses.replace(one, host=host, tls=_named(one.tls, one.host))
        for one in config.addresses
        for host in all_addresses(one.host, one.port)
    ]
    return dataclasses.replace(config, address=first, others=tuple(others), all_addresses=False)


def _urls(address: HttpAddress) -> list[str]:
    hosts = all_addresses(address.host, address.port)
    return [str(dataclasses.replace(address, host=host)) for host in hosts]


def _named(tls: TlsSettings | None, name: str) -> TlsSettings | None:
    """TLS with a server whose certificate is for the name that was looked up."""
    return tls and dataclasses.replace(tls, server_name=tls.server_name or name)


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
