"""Options for the load and the reporting of a run, a sweep and a search."""

import argparse
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from aibench_fast.cli.options.parser import REPEATED, add_all
from aibench_fast.cli.options.values import BurnIn, burn_in
from aibench_fast.load.config import ARRIVALS, ON_DISCONNECT, ON_LAG, RunConfig
from aibench_fast.protocols.settings import LEAST_PATIENCE_S

if TYPE_CHECKING:
    from distributed import Client


def add_load_options(group: "argparse._ArgumentGroup") -> None:
    """Add the options of a load that all three have, to a group of them."""
    add_all(
        group,
        {
            "--pipeline N": "keep N requests outstanding on each connection (default: 1)",
            "--threads N": "use N native I/O threads (default: one per 64 workers, or 1024 streams "
            "of tokens, and at most one per core; for requests of 256 KiB and more one per worker, "
            "and at most eight per core)",
            "--arrivals": "spread requests of --limit-rps or --profile evenly, or at random by "
            "--seed (default: even)",
            "--max-lag TIME": "limit how late a request may start after it was due (default: no "
            "limit)",
            "--on-lag": "if a request would start later than --max-lag, stop the run, or shed the "
            "request and count it (default: stop)",
            "--burn-in N|TIME|auto": "warm up first: N requests, a time such as 5s, or until rate "
            "and p50 are steady, at most a minute; excluded from every figure (default: 0)",
            "--max-queries N": "send N tensors in whole batches, warm-up included (default: each "
            "tensor once, or no limit with --duration)",
            "--duration TIME": "measure for this time after the warm-up, such as 30s (default: no "
            "limit)",
            "--dial-read-timeout TIME": "set the timeout of a request (default: 90s); before the "
            f"run the server has at least {LEAST_PATIENCE_S:g}s to answer",
            "--on-disconnect": "reconnect after a lost connection, or stop the run (default: "
            "reconnect)",
            "--reconnect-for TIME": "give up a worker that cannot reconnect for this time "
            "(default: 30s)",
            "--continue-on-error true|false": "continue after failed requests; false stops at the "
            "first (default: true)",
        },
        RunConfig,
        arrivals={"choices": ARRIVALS},
        on_lag={"choices": ON_LAG},
        burn_in={"type": burn_in, "default": BurnIn()},
        dial_read_timeout={"dest": "reply_timeout_s"},
        on_disconnect={"choices": ON_DISCONNECT},
    )


def add_reporting_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for what is reported and checked, and for where the load comes from."""
    add_all(
        parser.add_argument_group("Reporting"),
        {
            "--reporting-period TIME": "print a line after each such time, such as 1000ms "
            "(default: 1s)",
            "--expect FIGURE<LIMIT": "exit with code 1 unless this holds, such as 'p99<50ms', "
            "'errors<0.1%%' or 'rate>200'; can be repeated",
            "--junit FILE": "save the outcome of each --expect as JUnit XML (default: do not)",
            "--reset-stats": "reset the server's statistics before the run, for all its users "
            "(default: do not)",
        },
        RunConfig,
        expect=REPEATED,
    )
    add_all(
        parser.add_argument_group("Clients"),
        {
            "--dask ADDRESS": "send from the workers of the Dask cluster with this scheduler, such "
            "as tcp://HOST:8786 (default: from this process)",
            "--clients N": "with --dask: use N of its workers (default: all, but at most "
            "--workers)",
        },
    )


def dask_client(options: argparse.Namespace) -> "AbstractContextManager[Client | None]":
    """Return a client of the Dask cluster, or None; ServerError if it cannot be reached."""
    if options.dask is None:
        return nullcontext()
    from aibench_fast.cluster import connected

    return connected(options.dask)
