"""OpenAI's API as a run knows it before it visits a server."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aibench_fast.errors import ConfigError
from aibench_fast.protocols.anyhttp.protocol import AnyHttp
from aibench_fast.protocols.openai.request import is_chat
from aibench_fast.protocols.openai.settings import OpenAiSettings
from aibench_fast.protocols.protocol import KindSpec

if TYPE_CHECKING:
    from aibench_fast.protocols.servers import FoundServers


class OpenAi(AnyHttp):
    """A server of OpenAI's API, or several."""

    name = "OpenAI's API"
    settings_type = OpenAiSettings

    def __init__(self, settings: OpenAiSettings) -> None:
        """With the settings of a run."""
        super().__init__(settings)
        self._prompts = settings

    def check(self, kinds: Sequence[KindSpec]) -> None:
        """ConfigError where a setting is wrong, or requests are batches."""
        self._prompts.check_prompts()
        _ = self.addresses  # a wrong one shows
        for target in self.targets:
            is_chat(target)
        if any(kind.batch_size != 1 for kind in kinds):
            raise ConfigError("`batch_size` with `prompts`: a prompt is sent alone")

    @property
    def bodies(self) -> Path | None:
        """Return the file of prompts, or the trace."""
        return self._prompts.prompts or self._prompts.trace

    def model_of(self, given: str) -> str:
        """Return the model as given: requests name it."""
        return given

    def find_servers(self) -> "FoundServers":
        """Return the servers of the URLs."""
        from aibench_fast.protocols.anyhttp.servers import AnyHttpServers
        from aibench_fast.protocols.openai.session import OpenAiSession

        return AnyHttpServers(self.addresses, self.targets, self._prompts, OpenAiSession)
