"""The models that a server of OpenAI's API lists."""

import json
from collections.abc import Sequence

from aibench_fast.errors import ConfigError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openai.request import models_path
from aibench_fast.protocols.openinference.http.client import HttpClient, Reply

MOST_SHOWN = 10


def listed_models(client: HttpClient, target: str) -> list[str] | None:
    """Return the names that a server lists beside a URL's path; None: it has no such list.

    ServerError if it does not answer as HTTP.
    """
    return _names(client.ask(models_path(target)))


def only_model(address: HttpAddress, target: str) -> str:
    """Return the only model of a server.

    ConfigError where it has several or lists none; ServerError where it does not answer as HTTP.
    """
    path = models_path(target)
    with HttpClient(address) as client:
        reply = client.ask(path)
    found = _names(reply)
    if found is None:
        raise ConfigError(
            f"`model` is missing, and {address}{path} lists none (HTTP {reply.status}): name the "
            "one to run"
        )
    if len(found) > 1:
        raise ConfigError(f"`model` is missing: {address} has {shown_models(found)}; name one")
    return found[0]


def _names(reply: Reply) -> list[str] | None:
    """Return the names in a reply; None if it is not such a list, or empty."""
    if reply.status != 200:
        return None
    try:
        names = [one["id"] for one in json.loads(reply.body)["data"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return names if names and all(isinstance(name, str) for name in names) else None


def shown_models(models: Sequence[str]) -> str:
    """Return the names of models for a message."""
    more = f" and {len(models) - MOST_SHOWN} more" if len(models) > MOST_SHOWN else ""
    return ", ".join(models[:MOST_SHOWN]) + more
