"""Which workers of a Dask cluster are to be clients."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aibench_fast.cluster import Place, places
from aibench_fast.errors import ConfigError

if TYPE_CHECKING:
    from distributed import Client as DaskClient


def choose(client: "DaskClient", count: int | None, most: int) -> list[Place]:
    """Return the Dask workers that become clients, of each host in turn; None: all, up to `most`.

    ConfigError where there are too few, ServerError where there are none, or where one of them has
    not this version of this package.
    """
    present = places(client)
    if count is not None and count > len(present):
        raise ConfigError(
            f"`clients` {count}: the Dask cluster has {len(present)} workers; start more, or ask "
            "for fewer clients"
        )
    chosen = _in_turn(present)[: most if count is None else count]
    for place in chosen:
        place.check_version()
    return chosen


def _in_turn(present: Sequence[Place]) -> list[Place]:
    """In an order in which hosts take turns, and which is the same for the same cluster."""
    by_host: dict[str, int] = {}
    turns = []
    for place in sorted(present, key=lambda one: (one.host, one.name, one.address)):
        turns.append((by_host.setdefault(place.host, 0), place))
        by_host[place.host] += 1
    return [place for _, place in sorted(turns, key=lambda one: one[0])]
