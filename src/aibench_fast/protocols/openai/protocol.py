"""OpenAI's API as a run knows it before it visits a server."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aibench_fast.errors import ConfigError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.anyhttp.protocol import AnyHttp, target_of
from aibench_fast.protocols.openai.request import PATHS, api_of, body_of, read_extra
from aibench_fast.protocols.openai.settings import Api, OpenAiSettings
from aibench_fast.protocols.protocol import DrawnPrompts, KindSpec
from aibench_fast.units import bounds

if TYPE_CHECKING:
    from aibench_fast.protocols.session import Session, Workload


class OpenAi(AnyHttp):
    """A server of OpenAI's API, or several."""

    name = "OpenAI's API"
    settings_type = OpenAiSettings
    streams_tokens = True

    _settings: OpenAiSettings

    def check(self, kinds: Sequence[KindSpec]) -> None:
        """ConfigError where a setting is wrong, or requests are batches."""
        self._settings.check_prompts()
        _ = self.addresses  # a wrong one shows
        _ = self.api
        if any(kind.batch_size != 1 for kind in kinds):
            raise ConfigError("`batch_size` with prompts: a prompt is sent alone")

    @property
    def api(self) -> Api:
        """Return what all servers are asked for; ConfigError where no path says it."""
        if self._settings.api is not None:
            return self._settings.api
        found = {api_of(target): target for target in self.targets}
        if None in found:
            ends = " or ".join(f"/v1{end}" for end in PATHS)
            raise ConfigError(
                f"`url` .../{found[None].lstrip('/')}: write a URL that ends with {ends}, or give "
                "`api`"
            )
        if len(found) > 1:
            raise ConfigError(
                f"`url` {' and '.join(found.values())}: all servers have to have the same API"
            )
        return next(api for api in found if api is not None)

    def check_prompt(self, line: bytes) -> None:
        """ConfigError where a line of prompts cannot become a request."""
        body_of(line, api=self.api, model="", output_tokens=None, extra={})

    def check_files(self) -> None:
        """ConfigError where the further fields of requests are wrong."""
        read_extra(self._settings.extra_body)

    @property
    def body(self) -> Mapping[str, Any]:
        """Return the file of prompts, the trace, or the prompts to draw."""
        settings, most = self._settings, self._settings.output_tokens
        drawn = None
        if settings.prompt_tokens is not None:
            drawn = DrawnPrompts(
                prompt_tokens=bounds(settings.prompt_tokens),
                output_tokens=None if most is None else bounds(most),
                tokenizer=settings.tokenizer,
            )
        return {
            "file": settings.prompts or settings.trace,
            "is_prompts": settings.prompts is not None,
            "is_trace": settings.trace is not None,
            "tokenizer": settings.tokenizer if settings.trace else None,
            "drawn": drawn,
        }

    def find_model(self) -> str:
        """Return the first server's only model; ConfigError where it has several, or says none."""
        from aibench_fast.protocols.openai.session import only_model

        return only_model(self.addresses[0], self.targets[0])

    def _visit(self, address: HttpAddress, target: str, workload: "Workload") -> "Session":
        from aibench_fast.protocols.openai.session import OpenAiSession

        return OpenAiSession(self._settings, address, target, workload, api=self.api)


def speaks_openai(settings: OpenAiSettings) -> bool:
    """Return whether these settings are of OpenAI's API: one of its own, or a path of it."""
    own = (settings.api, settings.prompts, settings.prompt_tokens, settings.trace)
    if settings.url is None or any(one is not None for one in own):
        return settings.url is not None
    return not settings.sends_bodies and api_of(target_of(settings.url)) is not None
