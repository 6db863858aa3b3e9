"""The share that one client of several has of a run's requests."""

from typing import NamedTuple


class Share(NamedTuple):
    """The workers of all clients take turns: request n is worker n % all_workers's.

    Worker w is client w % clients's. So the clients together send what one would, each request
    once, as native/schedule.h has it.
    """

    client: int
    """From 0 on."""
    clients: int
    workers: int
    """Of this client."""
    all_workers: int

    @property
    def is_first(self) -> bool:
        """Return whether it is the client that does what is to be done once."""
        return self.client == 0

    def count(self, requests: int) -> int:
        """Return how many of the first `requests` of the run are its own."""
        rounds, rest = divmod(requests, self.all_workers)
        return rounds * self.workers + max(0, -(-(rest - self.client) // self.clients))
