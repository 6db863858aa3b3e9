"""The servers of a run over the Open Inference Protocol."""

from aibench_fast.protocols.openinference.session import OpenInferenceSession
from aibench_fast.protocols.openinference.settings import OpenInferenceSettings, server_addresses
from aibench_fast.protocols.servers import FoundServers
from aibench_fast.protocols.session import Workload


class OpenInferenceServers(FoundServers):
    """The servers of URLs."""

    def __init__(self, settings: OpenInferenceSettings) -> None:
        """Those of the URLs."""
        self._settings = settings
        self._addresses = server_addresses(settings)
        self._encoding = settings.encoding
        self.count = len(self._addresses)

    def visit(self, number: int, workload: Workload) -> OpenInferenceSession:
        """Make a session with one; tensors are sent to all as the first one takes them."""
        address = self._addresses[number]
        session = OpenInferenceSession(address, self._settings, workload, self._encoding)
        self._encoding = session.encoding
        return session
