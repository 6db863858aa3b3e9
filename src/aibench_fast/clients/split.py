"""Which workers of a Dask cluster become clients, and the share of a run's requests of each."""

import dataclasses
from collections.abc import Sequence
from itertools import groupby, zip_longest

from aibench_fast.cluster import DaskClient, Place, places
from aibench_fast.coretypes import Share
from aibench_fast.errors import ConfigError
from aibench_fast.load.config import RunConfig


def split(config: RunConfig, clients: int) -> list[RunConfig]:
    """Return the config of each client, so that together they do what one client would.

    Workers are dealt out one at a time. Each request belongs to one client by its number in the
    whole, and by that number it has its tensors, its kind of a mix and, by a schedule, the time at
    which it is due: rates, profiles, recorded arrivals and limits are those of the whole, in every
    client's config.

    ConfigError where there cannot be so many clients of it.
    """
    if clients < 1:
        raise ConfigError(f"`clients` {clients}: there has to be at least one")
    if clients > config.workers:
        raise ConfigError(
            f"`clients` {clients} with `workers` {config.workers}: a client drives at least one "
            "worker, so ask for as many workers or fewer clients"
        )
    if config.burn_in_until_steady:
        raise ConfigError(
            "`burn_in_until_steady` over several clients: each would see another steady state; "
            "give requests or a time"
        )
    if config.server_pid is not None:
        raise ConfigError(
            "`server_pid` over several clients: that server is of this machine alone; start one "
            "with `aibench-fast serve`, and name it"
        )
    return [_share(config, client, clients) for client in range(clients)]


def _share(config: RunConfig, client: int, clients: int) -> RunConfig:
    workers = len(range(client, config.workers, clients))
    return dataclasses.replace(
        config,
        workers=workers,
        threads=config.threads and max(1, len(range(client, config.threads, clients))),
        share=Share(client, clients, workers, config.workers),
        live_readings=False,
        interval_latencies=False,
        sample_responses=False,
        results_so_far=True,
    )


def choose(client: DaskClient, count: int | None, most: int) -> list[Place]:
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
    ordered = sorted(present, key=lambda one: (one.host, one.name, one.address))
    by_host = [list(places) for _, places in groupby(ordered, key=lambda one: one.host)]
    return [place for turn in zip_longest(*by_host) for place in turn if place is not None]
