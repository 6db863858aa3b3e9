"""The session with a server of OpenAI's API, before and after a run."""

import json
from collections.abc import Sequence
from contextlib import closing

from aibench_fast.coretypes import TokenPlan
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.anyhttp.session import AnyHttpSession
from aibench_fast.protocols.openai.request import body_of, models_path, read_extra
from aibench_fast.protocols.openai.settings import NAMES, Api, OpenAiSettings, parse_limits
from aibench_fast.protocols.openinference.http.client import HttpClient
from aibench_fast.protocols.openinference.http.exchange import Reply
from aibench_fast.protocols.session import AskedKind, Workload
from aibench_fast.units import described_range

UNKNOWN = (400, 404, 405, 422)
"""Statuses of a model or a path that a server does not have."""

NS_PER_S = 1_000_000_000
MOST_SHOWN = 10


class OpenAiSession(AnyHttpSession):
    """The session with such a server."""

    _settings: OpenAiSettings

    def __init__(
        self,
        settings: OpenAiSettings,
        address: HttpAddress,
        target: str,
        workload: Workload,
        *,
        api: Api,
    ) -> None:
        """Send a request of each kind on trial; ServerError if its reply is not a whole stream."""
        self._api = api
        self._extra = read_extra(settings.extra_body)
        super().__init__(settings, address, target, workload)
        asked = {"PromptTokens": settings.prompt_tokens, "MaxTokens": settings.output_tokens}
        self.facts = {
            **self.facts,
            "StringsAre": "prompts",
            **{name: described_range(one) for name, one in asked.items() if one is not None},
            **({"Tokenizer": str(settings.tokenizer)} if settings.tokenizer else {}),
        }

    def _content_type(self) -> dict[str, str]:
        return {"Content-Type": "application/json"}

    def _body(self, kind: AskedKind, given: bytes) -> bytes:
        given_most = self._settings.output_tokens
        most = given_most if isinstance(given_most, int) else None
        return body_of(
            given, api=self._api, model=kind.model, output_tokens=most, extra=self._extra
        )

    def _plan_of(self, reply: Reply) -> TokenPlan:
        settings = self._settings
        limits = parse_limits(settings.slo).items()
        return TokenPlan(
            stream_end=settings.stream_end,
            first_token_timeout_ns=round(settings.first_token_timeout_s * NS_PER_S),
            token_timeout_ns=round(settings.token_timeout_s * NS_PER_S),
            min_tokens=settings.min_tokens,
            **{NAMES[name]: round(limit_s * NS_PER_S) for name, limit_s in limits},
        )

    def _refused(
        self, client: HttpClient, kind: AskedKind, reply: Reply, words: str
    ) -> ServerError:
        """Return the error for a trial; where it may be the model's, with those that are there."""
        error = super()._refused(client, kind, reply, words)
        if reply.status not in UNKNOWN:
            return error
        try:
            found = _listed_models(client.ask(models_path(self._target)))
        except ServerError:  # the trial's reply says more
            found = None
        if found is None and "json" not in reply.headers.get("content-type", ""):
            return ServerError(f"{error}: is it a server of OpenAI's API?")
        if found is None or kind.model in found:
            return error
        return ServerError(f"{error}; it has the models {_shown(found)}")

    def label(self, model: str) -> str:
        """Names the model and how it is asked."""
        return f"OpenAI {'chat' if self._api == Api.CHAT else 'completion'} - {model} :stream"


def only_model(address: HttpAddress, target: str) -> str:
    """Return a server's only model; ConfigError if it has several or lists none, ServerError."""
    path = models_path(target)
    with closing(HttpClient(address)) as client:
        reply = client.ask(path)
    found = _listed_models(reply)
    if found is None:
        raise ConfigError(
            f"`model` is missing, and {address}{path} lists none (HTTP {reply.status}): name the "
            "one to run"
        )
    if len(found) > 1:
        raise ConfigError(f"`model` is missing: {address} has {_shown(found)}; name one")
    return found[0]


def _listed_models(reply: Reply) -> list[str] | None:
    """Return the names of a server's models by its reply; None if it lists none."""
    if reply.status != 200:
        return None
    try:
        names = [one["id"] for one in json.loads(reply.body)["data"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return names if names and all(isinstance(name, str) for name in names) else None


def _shown(models: Sequence[str]) -> str:
    more = f" and {len(models) - MOST_SHOWN} more" if len(models) > MOST_SHOWN else ""
    return ", ".join(models[:MOST_SHOWN]) + more
