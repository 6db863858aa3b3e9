#!/usr/bin/env python3
"""The summary tables of a folder of results, as aibench's script of this name prints them."""

import sys

try:
    from aibench_fast.cli import main
except ModuleNotFoundError:
    sys.exit("aibench-fast is not installed for this Python: see its README")

if __name__ == "__main__":
    sys.exit(main(["tables", *sys.argv[1:]]))
