"""Options for the source of the load: this process, or the workers of a Dask cluster."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aibench_fast.errors import ConfigError

if TYPE_CHECKING:
    from distributed import Client


def add_clients_options(parser: argparse.ArgumentParser) -> None:
    """Add --dask and --clients, which `dask_client` reads."""
    group = parser.add_argument_group("Clients")
    group.add_argument(
        "--dask", metavar="ADDRESS",
        help="send from the workers of the Dask cluster with this scheduler, such as "
        "tcp://HOST:8786 (default: from this process)",
    )  # fmt: skip
    group.add_argument(
        "--clients", type=int, metavar="N",
        help="with --dask: use N of its workers (default: all, but at most --workers)",
    )  # fmt: skip


def check_clients(options: argparse.Namespace) -> None:
    """ConfigError if the options for clients contradict others."""
    if options.dask is None and options.clients is not None:
        raise ConfigError(f"--clients {options.clients} without --dask: of which cluster?")
    if options.dask is not None and options.embedded:
        raise ConfigError(
            "--embedded with --dask: that server is of this machine alone; start one with "
            "`aibench-fast serve`, and name it"
        )


@contextmanager
def dask_client(options: argparse.Namespace) -> Iterator["Client | None"]:
    """Yield a client of the Dask cluster, None without one; ServerError if it cannot be reached."""
    if options.dask is None:
        yield None
        return
    from aibench_fast.cluster import connected

    with connected(options.dask) as client:
        yield client
