"""Options for the load and the reporting of a run, a sweep and a search."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aibench_fast.cli.options.values import BurnIn, boolean, burn_in, seconds
from aibench_fast.errors import ConfigError
from aibench_fast.load.config import ARRIVALS, ON_DISCONNECT, ON_LAG
from aibench_fast.protocols.settings import LEAST_PATIENCE_S

if TYPE_CHECKING:
    from distributed import Client


def add_load_options(group: "argparse._ArgumentGroup") -> None:
    """Add the options of a load that all three have, to a group of them."""
    group.add_argument(
        "--pipeline", type=int, default=1, metavar="N",
        help="keep N requests outstanding on each connection (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--threads", type=int, metavar="N",
        help="use N native I/O threads (default: one per 64 workers, or 1024 streams of tokens, "
        "and at most one per core; for requests of 256 KiB and more one per worker, and at most "
        "eight per core)",
    )  # fmt: skip
    group.add_argument(
        "--arrivals", choices=ARRIVALS, default="even",
        help="spread requests of --limit-rps or --profile evenly, or at random by --seed "
        "(default: even)",
    )  # fmt: skip
    group.add_argument(
        "--max-lag", type=seconds, default=0.0, metavar="TIME", dest="max_lag_s",
        help="limit how late a request may start after it was due (default: no limit)",
    )  # fmt: skip
    group.add_argument(
        "--on-lag", choices=ON_LAG, default="stop",
        help="if a request would start later than --max-lag, stop the run, or shed the request and "
        "count it (default: stop)",
    )  # fmt: skip
    group.add_argument(
        "--burn-in", type=burn_in, default=BurnIn(), metavar="N|TIME|auto",
        help="warm up first: N requests, a time such as 5s, or until rate and p50 are steady, at "
        "most a minute; excluded from every figure (default: 0)",
    )  # fmt: skip
    group.add_argument(
        "--max-queries", type=int, default=0, metavar="N",
        help="send N tensors in whole batches, warm-up included (default: each tensor once, or no "
        "limit with --duration)",
    )  # fmt: skip
    group.add_argument(
        "--duration", type=seconds, default=0.0, metavar="TIME", dest="duration_s",
        help="measure for this time after the warm-up, such as 30s (default: no limit)",
    )  # fmt: skip
    group.add_argument(
        "--dial-read-timeout", type=seconds, default=90.0, metavar="TIME",
        dest="reply_timeout_s",
        help="set the timeout of a request (default: 90s); before the run the server has at least "
        f"{LEAST_PATIENCE_S:g}s to answer",
    )  # fmt: skip
    group.add_argument(
        "--on-disconnect", choices=ON_DISCONNECT, default="reconnect",
        help="reconnect after a lost connection, or stop the run (default: reconnect)",
    )  # fmt: skip
    group.add_argument(
        "--reconnect-for", type=seconds, default=30.0, metavar="TIME", dest="reconnect_for_s",
        help="give up a worker that cannot reconnect for this time (default: 30s)",
    )  # fmt: skip
    group.add_argument(
        "--continue-on-error", type=boolean, nargs="?", const=True, default=True,
        metavar="true|false",
        help="continue after failed requests; false stops at the first (default: true)",
    )  # fmt: skip


def add_statistics_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for what is reported, and checked."""
    group = parser.add_argument_group("Reporting")
    group.add_argument(
        "--reporting-period", type=seconds, default=1.0, metavar="TIME",
        dest="reporting_period_s",
        help="print a line after each such time, such as 1000ms (default: 1s)",
    )  # fmt: skip
    group.add_argument(
        "--expect", action="append", default=[], metavar="FIGURE<LIMIT",
        help="exit with code 1 unless this holds, such as 'p99<50ms', 'errors<0.1%%' or "
        "'rate>200'; can be repeated",
    )  # fmt: skip
    group.add_argument(
        "--junit", type=Path, metavar="FILE",
        help="save the outcome of each --expect as JUnit XML (default: do not)",
    )  # fmt: skip
    group.add_argument(
        "--reset-stats", action="store_true",
        help="reset the server's statistics before the run, for all its users (default: do not)",
    )  # fmt: skip


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
