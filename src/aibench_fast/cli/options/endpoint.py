"""Options for the requests to any HTTP endpoint."""

import argparse
from pathlib import Path

from aibench_fast.cli.options.values import statuses
from aibench_fast.protocols.anyhttp.settings import METHODS, Reply


def add_endpoint_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for bodies that are sent as they lie, and for their replies."""
    group = parser.add_argument_group("Any HTTP endpoint")
    group.add_argument(
        "--body", type=Path, metavar="FILE|FOLDER|LINES.jsonl",
        help="with --url: send each file of a folder, or each line of a .jsonl file, as the body "
        "of a request to the URL's path, whatever serves it",
    )  # fmt: skip
    group.add_argument(
        "--content-type", metavar="TYPE",
        help="set the type of each --body (default: application/json for .json and .jsonl, else "
        "application/octet-stream)",
    )  # fmt: skip
    group.add_argument(
        "--method", choices=METHODS,
        help="set the method of requests with --body, or send GET without one (default: POST)",
    )  # fmt: skip
    group.add_argument(
        "--success", type=statuses, default=(), metavar="STATUS,...",
        help="with --body: count these HTTP statuses as successes (default: 200 to 299)",
    )  # fmt: skip
    group.add_argument(
        "--reply", type=Reply, choices=list(Reply), default=Reply.ANY,
        help="with --body: what the body of a success has to be; same-size is that of the first "
        "reply (default: any)",
    )  # fmt: skip
