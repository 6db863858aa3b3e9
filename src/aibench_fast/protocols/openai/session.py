"""The session with a server of OpenAI's API, before and after a run."""

from aibench_fast.coretypes import TokenPlan
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.anyhttp.session import AnyHttpSession
from aibench_fast.protocols.openai.request import body_of, is_chat, read_extra
from aibench_fast.protocols.openai.settings import OpenAiSettings
from aibench_fast.protocols.openinference.http.client import Reply
from aibench_fast.protocols.session import Workload

NS_PER_S = 1_000_000_000


class OpenAiSession(AnyHttpSession):
    """A `protocols.session.Session` with such a server."""

    def __init__(
        self, address: HttpAddress, target: str, settings: OpenAiSettings, workload: Workload
    ) -> None:
        """Send the first request on trial; ServerError where its reply is not a whole stream."""
        self._prompts = settings
        self._chat = is_chat(target)
        self._extra = read_extra(settings.extra_body)
        super().__init__(address, target, settings, workload)

    def _content_type(self) -> dict[str, str]:
        return {"Content-Type": "application/json"}

    def _body(self, number: int) -> bytes:
        return body_of(
            self._given(number),
            chat=self._chat,
            model=self._kind.model,
            output_tokens=self._prompts.output_tokens,
            extra=self._extra,
        )

    def _plan_of(self, reply: Reply) -> TokenPlan:
        prompts = self._prompts
        return TokenPlan(
            stream_end=prompts.stream_end,
            first_token_timeout_ns=round(prompts.first_token_timeout_s * NS_PER_S),
            token_timeout_ns=round(prompts.token_timeout_s * NS_PER_S),
            min_tokens=prompts.min_tokens,
        )

    def label(self, model: str) -> str:
        """Names the model and how it is asked."""
        return f"OpenAI {'chat' if self._chat else 'completion'} - {model} :stream"
