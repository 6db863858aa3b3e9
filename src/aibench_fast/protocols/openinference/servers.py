"""The servers of a run over the Open Inference Protocol."""

from collections.abc import Sequence

from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.encoding import Encoding
from aibench_fast.protocols.openinference.client import Connect
from aibench_fast.protocols.openinference.session import OpenInferenceSession
from aibench_fast.protocols.openinference.settings import OpenInferenceSettings
from aibench_fast.protocols.openinference.sharedtensors import SharedTensors
from aibench_fast.protocols.servers import FoundServers
from aibench_fast.protocols.session import Workload


class OpenInferenceServers(FoundServers):
    """The servers of URLs."""

    def __init__(
        self,
        connect: Connect,
        addresses: Sequence[HttpAddress],
        settings: OpenInferenceSettings,
        encoding: Encoding | None,
    ) -> None:
        """Those at `addresses`; tensors are in this `encoding`, None: as the first takes them."""
        self._connect = connect
        self._addresses = addresses
        self._settings = settings
        self._encoding = encoding
        self._shared = SharedTensors() if settings.shared_memory else None
        self.count = len(addresses)

    def visit(self, number: int, workload: Workload) -> OpenInferenceSession:
        """Make a session with one; tensors are sent to all as the first one takes them."""
        session = OpenInferenceSession(
            self._connect, self._addresses[number], self._settings, workload, self._encoding,
            self._shared,
        )  # fmt: skip
        self._encoding = session.encoding
        if self._shared and number == self.count - 1:
            self._shared.unlink()
        return session
