#!/usr/bin/env python3
"""Print the summary tables of a folder of results, like aibench's script of this name."""

import sys

try:
    from aibench_fast.cli import main
except ModuleNotFoundError:
    sys.exit("aibench-fast is not installed for this Python: see README.md")

if __name__ == "__main__":
    sys.exit(main(["tables", *sys.argv[1:]]))
