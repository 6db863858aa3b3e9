"""The protocols that there are, and which of them a run's settings choose."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from aibench_fast.errors import ConfigError, shown_url
from aibench_fast.protocols.address import url_parts
from aibench_fast.protocols.anyhttp.protocol import AnyHttp
from aibench_fast.protocols.openai.protocol import OpenAi, speaks_openai
from aibench_fast.protocols.openai.settings import OpenAiSettings
from aibench_fast.protocols.openinference.protocol import (
    OpenInferenceOverGrpc,
    OpenInferenceOverHttp,
)
from aibench_fast.protocols.openinference.settings import GrpcSettings, HttpSettings
from aibench_fast.protocols.protocol import ServerProtocol
from aibench_fast.protocols.redisai.protocol import RedisAi
from aibench_fast.protocols.redisai.settings import RedisAiSettings


@dataclass(frozen=True, kw_only=True)
class ProtocolSettings(RedisAiSettings, HttpSettings, GrpcSettings, OpenAiSettings):
    """The settings of all protocols."""


PROTOCOLS: Sequence[type[ServerProtocol]] = (RedisAi, OpenInferenceOverHttp, OpenInferenceOverGrpc)


def protocol_of(settings: ProtocolSettings) -> ServerProtocol:
    """Return the protocol of a run's servers; ConfigError for none, or another's setting."""
    chosen: type[ServerProtocol] = RedisAi
    if speaks_openai(settings):
        chosen = OpenAi
    elif settings.url is not None:
        chosen = AnyHttp if settings.sends_bodies else protocol_of_url(settings.url)
    own = {field.name for field in dataclasses.fields(chosen.settings_type)}
    for field in dataclasses.fields(ProtocolSettings):
        if field.name not in own and getattr(settings, field.name) != field.default:
            raise no_such_setting(field.name, settings, chosen.name)
    return chosen(settings)


def no_such_setting(setting: str, settings: ProtocolSettings, protocol: str) -> ConfigError:
    """Return the error for a setting that is given and that a protocol does not have."""
    url = "without `url`" if settings.url is None else "with `url`"
    return ConfigError(f"`{setting}` {url}: {protocol} has no such setting")


def protocol_of_url(url: str) -> type[ServerProtocol]:
    """Return the protocol of a URL's scheme; ConfigError where it is none of the known ones."""
    scheme = url_parts(url).scheme
    found = [one for one in PROTOCOLS if scheme in one.schemes]
    if not found:
        *known, last = sorted(scheme for one in PROTOCOLS for scheme in one.schemes)
        raise ConfigError(
            f"`url` {shown_url(url)}: write SCHEME://HOST:PORT, by {', '.join(known)} or {last}"
        )
    return found[0]
