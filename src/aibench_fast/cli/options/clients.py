"""Where the load comes from: this process, or the workers of a Dask cluster."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from aibench_fast.errors import ConfigError
from aibench_fast.load.config import RunConfig
from aibench_fast.studies.source import Run, check_split, source


def add_clients_options(parser: argparse.ArgumentParser) -> None:
    """Add --dask and --clients, which `load_source` reads."""
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
    """ConfigError where the clients that the options name cannot make a run."""
    if options.dask is None:
        if options.clients is not None:
            raise ConfigError(f"--clients {options.clients} without --dask: of which cluster?")
        return
    if options.embedded:
        raise ConfigError(
            "--embedded with --dask: that server is of this machine alone; start one with "
            "`aibench-fast serve`, and name it"
        )
    check_split(config, over_dask=True, clients=options.clients)


@contextmanager
def load_source(options: argparse.Namespace) -> Iterator[Run]:
    """Yield what makes runs; ServerError where the Dask cluster is not there."""
    if options.dask is None:
        yield source(None, None)
        return
    from aibench_fast.cluster import connected

    with connected(options.dask) as client:
        yield source(client, options.clients)
