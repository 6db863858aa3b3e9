#!/usr/bin/env python3
"""Print a server statistic by workers and batching, like aibench's script of this name."""

import argparse
import sys

try:
    from aibench_fast.cli import main
except ModuleNotFoundError:
    sys.exit("aibench-fast is not installed for this Python: see README.md")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", required=True, help="the folder of results")
    parser.add_argument("--prefix", default="", help="use files whose names begin with this")
    parser.add_argument(
        "--server_runtime_stats_metricname",
        default="used_memory_human",
        help="the statistic (default: %(default)s)",
    )
    options = parser.parse_args()
    metric = options.server_runtime_stats_metricname
    sys.exit(
        main(["tables", "--dir", options.dir, "--prefix", options.prefix, "--server-stat", metric])
    )
