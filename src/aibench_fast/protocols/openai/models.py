"""The models that a server of OpenAI's API lists."""

import json
from collections.abc import Sequence

from aibench_fast.errors import ConfigError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openai.request import models_path
from aibench_fast.protocols.openinference.http.client import HttpClient

MOST_SHOWN = 10


def listed_models(client: HttpClient, target: str) -> list[str] | None:
    """Return the names that a server lists beside a URL's path; None: it has no such list.

    ServerError if it does not answer as HTTP.
    """
    reply = client.ask(models_path(target))
    try:
        listed = json.loads(reply.body)["data"] if reply.status == 200 else []
        return [str(one["id"]) for one in listed] or None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def only_model(address: HttpAddress, target: str) -> str:
    """Return the only model of a server.

    ConfigError where it has several or lists none; ServerError where it does not answer as HTTP.
    """
    with HttpClient(address) as client:
        found = listed_models(client, target)
    if found is None:
        raise ConfigError(
            f"`model` is missing, and {address}{models_path(target)} lists none: name the one to "
            "run"
        )
    if len(found) > 1:
        raise ConfigError(f"`model` is missing: {address} has {shown_models(found)}; name one")
    return found[0]


def shown_models(models: Sequence[str]) -> str:
    """Return the names of models for a message."""
    more = f" and {len(models) - MOST_SHOWN} more" if len(models) > MOST_SHOWN else ""
    return ", ".join(models[:MOST_SHOWN]) + more
