"""The endpoints of a run."""

from collections.abc import Sequence

from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.anyhttp.session import AnyHttpSession
from aibench_fast.protocols.anyhttp.settings import AnyHttpSettings
from aibench_fast.protocols.servers import FoundServers
from aibench_fast.protocols.session import Workload


class AnyHttpServers(FoundServers):
    """Those of URLs."""

    def __init__(
        self, addresses: Sequence[HttpAddress], targets: Sequence[str], settings: AnyHttpSettings
    ) -> None:
        """`targets`: what each server is asked for."""
        self._addresses = addresses
        self._targets = targets
        self._settings = settings
        self.count = len(addresses)

    def visit(self, number: int, workload: Workload) -> AnyHttpSession:
        """Make a session with one."""
        return AnyHttpSession(
            self._addresses[number], self._targets[number], self._settings, workload
        )
