"""Options for recorded requests of generative models."""

import argparse
from pathlib import Path


def add_trace_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for a trace and how fast it is gone through."""
    group = parser.add_argument_group("Traces")
    group.add_argument(
        "--trace", type=Path, metavar="FILE.jsonl",
        help="with --url .../v1/chat/completions or .../v1/completions: send recorded requests, "
        "each line with timestamp (ms), input_length, output_length and hash_ids, as Mooncake's: "
        "when, how long and with which shared beginnings",
    )  # fmt: skip
    group.add_argument(
        "--speed", type=float, default=1.0, metavar="X",
        help="go through --trace X times as fast, such as 2 (default: 1)",
    )  # fmt: skip
