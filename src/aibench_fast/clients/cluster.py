"""A Dask cluster as the coordinator sees it: who is there, and how to ask them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from aibench_fast import __version__
from aibench_fast.errors import ConfigError

if TYPE_CHECKING:
    from distributed import Client as DaskClient


class Place(NamedTuple):
    """A Dask worker that is to be a client."""

    address: str
    """What Dask calls it."""
    name: str
    host: str
    clock: str
    """Which clock it reads; see `clocks.clock_id`."""
    version: str | None
    """Of this package there; None where it cannot be imported."""
    missing: str
    """Why not."""

    def __str__(self) -> str:
        """Return it as a person looks for it."""
        return f"the Dask worker {self.name} on {self.host}"


def ask(
    client: "DaskClient", places: Sequence[str], function: Callable[..., Any], *arguments: Any
) -> dict[str, Any]:
    """What a function returns in each worker beside its tasks, or the exception that it raised."""
    told: dict[str, Any] = client.run(function, *arguments, workers=list(places), on_error="return")
    return told


def choose(client: "DaskClient", count: int | None, most: int) -> list[Place]:
    """The Dask workers that will be clients, of each host in turn; None: all, at most so many.

    ConfigError where there are too few, or where one has not this version of this package.
    """
    addresses = list(client.nthreads())
    if not addresses:
        raise ConfigError("the Dask cluster has no workers: start some with `dask worker`")
    if count is not None and count > len(addresses):
        raise ConfigError(
            f"--clients {count}: the Dask cluster has {len(addresses)} workers; start more, or ask "
            "for fewer clients"
        )
    told = ask(client, addresses, _prober())
    places = _in_turn([_place(address, told[address]) for address in addresses])
    chosen = places[: most if count is None else count]
    for place in chosen:
        _check_version(place)
    return chosen


def _prober() -> Callable[..., dict[str, str]]:
    """What asks a Dask worker about itself.

    A function in a function is sent whole: one of a module would be looked for there.
    """

    def probe(dask_worker: Any) -> dict[str, str]:
        import socket

        told = {"name": str(dask_worker.name), "host": socket.gethostname()}
        try:
            import aibench_fast
            import aibench_fast.clients.drive
            from aibench_fast.clients.clocks import clock_id
        except ImportError as error:
            return {**told, "missing": str(error)}
        return {**told, "version": aibench_fast.__version__, "clock": clock_id()}

    return probe


def _place(address: str, told: Any) -> Place:
    if isinstance(told, Exception):
        raise ConfigError(f"the Dask worker {address} does not answer: {_line(told)}")
    return Place(
        address,
        told["name"],
        told["host"],
        told.get("clock", ""),
        told.get("version"),
        told.get("missing", ""),
    )


def _check_version(place: Place) -> None:
    if place.version is None:
        raise ConfigError(
            f"{place} has no aibench-fast {__version__} ({place.missing}): install it there"
        )
    if place.version != __version__:
        raise ConfigError(
            f"{place} has aibench-fast {place.version}, and here is {__version__}: install the "
            "same on all machines"
        )


def _in_turn(places: Sequence[Place]) -> list[Place]:
    """In an order in which hosts take turns, and which is the same for the same cluster."""
    by_host: dict[str, int] = {}
    turns = []
    for place in sorted(places, key=lambda one: (one.host, one.name, one.address)):
        turns.append((by_host.setdefault(place.host, 0), place))
        by_host[place.host] += 1
    return [place for _, place in sorted(turns, key=lambda one: one[0])]


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
