"""How much is sent, and what is counted: options of a run, a sweep and a search."""

import argparse
from pathlib import Path

from aibench_fast.cli.options.values import BurnIn, boolean, burn_in, seconds
from aibench_fast.load.config import ARRIVALS, ON_DISCONNECT, ON_LAG
from aibench_fast.protocols.settings import LEAST_PATIENCE_S


def add_load_options(parser: argparse.ArgumentParser) -> None:
    """How much is sent, in a run and in a sweep."""
    group = parser.add_argument_group("how much")
    group.add_argument(
        "--pipeline", type=int, default=1, metavar="N",
        help="requests outstanding on each connection, answered in order (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--threads", type=int, metavar="N",
        help="native I/O threads (default: one a core, eight where requests are of 256 KiB or "
        "more; at most as many as workers)",
    )  # fmt: skip
    group.add_argument(
        "--arrivals", choices=ARRIVALS, default="even",
        help="how requests are spread by --limit-rps or --profile; poisson is drawn from --seed "
        "(default: even)",
    )  # fmt: skip
    group.add_argument(
        "--max-lag", type=seconds, default=0.0, metavar="TIME", dest="max_lag_s",
        help="how late a request may start by the schedule (default: however late)",
    )  # fmt: skip
    group.add_argument(
        "--on-lag", choices=ON_LAG, default="stop",
        help="at a request that would be later than --max-lag: stop the run, or shed it, which is "
        "counted (default: stop)",
    )  # fmt: skip
    group.add_argument(
        "--burn-in", type=burn_in, default=BurnIn(), metavar="N|TIME|auto",
        help="requests at the start, or a time such as 5s, that count in no figure; auto: until "
        "rate and p50 are steady, for at most a minute (default: 0)",
    )  # fmt: skip
    group.add_argument(
        "--max-queries", type=int, default=0, metavar="N",
        help="tensors to send, burn-in included, in whole batches (default: 0, one pass of them, "
        "or no limit with --duration)",
    )  # fmt: skip
    group.add_argument(
        "--duration", type=seconds, default=0.0, metavar="TIME", dest="duration_s",
        help="how long to measure after the burn-in, such as 30s (default: no limit)",
    )  # fmt: skip
    group.add_argument(
        "--dial-read-timeout", type=seconds, default=90.0, metavar="TIME",
        dest="reply_timeout_s",
        help="how long the client waits for a request's last reply, and before the run, if it is "
        f"more than {LEAST_PATIENCE_S:g}s, for what the server is asked (default: 90s)",
    )  # fmt: skip
    group.add_argument(
        "--on-disconnect", choices=ON_DISCONNECT, default="reconnect",
        help="at a lost connection: make another, or stop the run (default: reconnect)",
    )  # fmt: skip
    group.add_argument(
        "--reconnect-for", type=seconds, default=30.0, metavar="TIME", dest="reconnect_for_s",
        help="how long a worker tries to get another connection before it gives up (default: 30s)",
    )  # fmt: skip
    group.add_argument(
        "--continue-on-error", type=boolean, nargs="?", const=True, default=True,
        metavar="true|false", help="false: stop at the first failure (default: true)",
    )  # fmt: skip


def add_statistics_options(parser: argparse.ArgumentParser) -> None:
    """When statistics are taken, in a run and in a sweep."""
    group = parser.add_argument_group("statistics")
    group.add_argument(
        "--reporting-period", type=seconds, default=1.0, metavar="TIME",
        dest="reporting_period_s",
        help="time between two lines, such as 1000ms (default: 1s)",
    )  # fmt: skip
    group.add_argument(
        "--expect", action="append", default=[], metavar="FIGURE<LIMIT",
        help="what a figure has to be, such as 'p99<50ms', 'errors<0.1%%' or 'rate>200'; the exit "
        "code is 1 where it is not; may be given again",
    )  # fmt: skip
    group.add_argument(
        "--junit",
        type=Path,
        metavar="FILE",
        help="save what held here, as JUnit XML (default: not)",
    )
    group.add_argument(
        "--reset-stats", action="store_true",
        help="set the server's statistics to 0 before the run, for everyone (default: leave them)",
    )  # fmt: skip
