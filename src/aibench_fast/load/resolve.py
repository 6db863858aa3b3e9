"""What is asked for, held against what names stand for, and what a server says of a model."""

import dataclasses

from aibench_fast.load.config import RunConfig
from aibench_fast.protocols.address import HttpAddress, all_addresses
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
    from aibench_fast.load.modelinputs import with_model_inputs

    return with_model_inputs(config, address)


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
