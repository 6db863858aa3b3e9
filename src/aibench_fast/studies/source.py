"""Where the load of a study comes from: this process, or the workers of a Dask cluster."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from aibench_fast.load.config import RunConfig
from aibench_fast.results.events import Observer
from aibench_fast.results.result import Result

if TYPE_CHECKING:
    from distributed import Client as DaskClient

Run = Callable[[RunConfig, Observer], Result]
"""Makes one run."""


def source(client: "DaskClient | None", clients: int | None) -> Run:
    """Return what makes runs, as `aibench_fast.run` does with this `client` and `clients`.

    A run with fewer workers than `clients` has one worker on each client.
    """
    # The native core is imported when there is a run to make.
    from aibench_fast.clients.runner import run

    if client is None and clients is None:
        return run

    def run_there(config: RunConfig, observe: Observer) -> Result:
        count = clients and min(clients, config.workers)
        return run(config, observe, client=client, clients=count)

    return run_there


def check_run(config: RunConfig, *, over_dask: bool, clients: int | None) -> None:
    """ConfigError if a run cannot be made, or not over so many clients; None is not known yet."""
    config.check_conversations()
    if over_dask:
        from aibench_fast.clients.split import split

        split(config, 1 if clients is None else clients)
