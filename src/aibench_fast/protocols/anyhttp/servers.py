"""The endpoints of a run."""

from collections.abc import Callable, Sequence
from typing import Any

from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.anyhttp.session import AnyHttpSession
from aibench_fast.protocols.servers import FoundServers
from aibench_fast.protocols.session import Workload


class AnyHttpServers(FoundServers):
    """Those of URLs."""

    def __init__(
        self,
        addresses: Sequence[HttpAddress],
        targets: Sequence[str],
        settings: Any,
        session: Callable[[HttpAddress, str, Any, Workload], AnyHttpSession] = AnyHttpSession,
    ) -> None:
        """`targets`: the path and query of each URL. `session` takes the settings."""
        self._addresses = addresses
        self._targets = targets
        self._settings = settings
        self._session = session
        self.count = len(addresses)

    def visit(self, number: int, workload: Workload) -> AnyHttpSession:
        """Make a session with one."""
        return self._session(
            self._addresses[number], self._targets[number], self._settings, workload
        )
