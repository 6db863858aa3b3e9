"""Where the load comes from: this process, or the workers of a Dask cluster."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aibench_fast.clients.runner import run
from aibench_fast.cluster import connected
from aibench_fast.errors import ConfigError
from aibench_fast.load.config import RunConfig
from aibench_fast.results.events import Observer
from aibench_fast.results.result import Result

Run = Callable[[RunConfig, Observer], Result]


def add_clients_options(parser: argparse.ArgumentParser) -> None:
    """--dask and --clients, which `load_source` reads."""
    group = parser.add_argument_group("many clients")
    group.add_argument(
        "--dask", metavar="ADDRESS",
        help="send from the workers of this Dask cluster, each a client, by its scheduler's "
        "address, such as tcp://HOST:8786 (default: from here)",
    )  # fmt: skip
    group.add_argument(
        "--clients", type=int, metavar="N",
        help="with --dask: how many of them (default: all, but no more than --workers)",
    )  # fmt: skip


def check_clients(options: argparse.Namespace, config: RunConfig) -> None:
    """ConfigError where a run cannot come from where the options say."""
    if options.dask is None:
        if options.clients is not None:
            raise ConfigError(f"--clients {options.clients} without --dask: of which cluster?")
        return
    if options.embedded:
        raise ConfigError(
            "--embedded with --dask: that server is of this machine alone; start one with "
            "`aibench-fast serve`, and name it"
        )
    from aibench_fast.clients.split import split

    split(config, 1 if options.clients is None else options.clients)


@contextmanager
def load_source(options: argparse.Namespace) -> Iterator[Run]:
    """What makes runs; ServerError where the Dask cluster is not there.

    Where there are fewer workers than --clients, each is a client.
    """
    if options.dask is None:
        yield run
        return
    with connected(options.dask) as client:

        def run_there(config: RunConfig, observe: Observer) -> Result:
            count = options.clients and min(options.clients, config.workers)
            return run(config, observe, client=client, clients=count)

        yield run_there
