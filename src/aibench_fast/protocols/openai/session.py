"""The session with a server of OpenAI's API, before and after a run."""

import json
from collections.abc import Sequence

from aibench_fast.coretypes import TokenPlan
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.anyhttp.session import AnyHttpSession
from aibench_fast.protocols.openai.request import body_of, models_path, read_extra
from aibench_fast.protocols.openai.settings import NAMES, Api, OpenAiSettings, parse_limits
from aibench_fast.protocols.openinference.http.bounded import Reply
from aibench_fast.protocols.openinference.http.client import HttpClient
from aibench_fast.protocols.session import AskedKind, Workload
from aibench_fast.units import described_range

UNKNOWN = (400, 404, 405, 422)
"""Statuses of a model or a path that a server does not have."""

NS_PER_S = 1_000_000_000
MOST_SHOWN = 10


class OpenAiSession(AnyHttpSession):
    """The session with such a server."""

    def __init__(
        self,
        address: HttpAddress,
        target: str,
        settings: OpenAiSettings,
        workload: Workload,
        *,
        api: Api,
    ) -> None:
        """Send a request of each kind on trial; ServerError if its reply is not a whole stream."""
        self._prompts = settings
        self._api = api
        self._extra = read_extra(settings.extra_body)
        super().__init__(address, target, settings, workload)
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
        most = self._prompts.output_tokens
        return body_of(
            given,
            api=self._api,
            model=kind.model,
            output_tokens=most if isinstance(most, int) else None,
            extra=self._extra,
        )

    def _plan_of(self, reply: Reply) -> TokenPlan:
        prompts = self._prompts
        limits = parse_limits(prompts.slo).items()
        return TokenPlan(
            stream_end=prompts.stream_end,
            first_token_timeout_ns=round(prompts.first_token_timeout_s * NS_PER_S),
            token_timeout_ns=round(prompts.token_timeout_s * NS_PER_S),
            min_tokens=prompts.min_tokens,
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
            found = listed_models(client, self._target)
        except ServerError:  # the trial's reply says more
            found = None
        if found is None and "json" not in reply.headers.get("content-type", ""):
            return ServerError(f"{error}: is it a server of OpenAI's API?")
        if found is None or kind.model in found:
            return error
        return ServerError(f"{error}; it has the models {shown_models(found)}")

    def label(self, model: str) -> str:
        """Names the model and how it is asked."""
        return f"OpenAI {'chat' if self._api == Api.CHAT else 'completion'} - {model} :stream"


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
