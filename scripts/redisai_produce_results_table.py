#!/usr/bin/env python3
"""The summary tables of a folder of results, as aibench's script of this name prints them."""

import sys

from aibench_fast.cli import main

if __name__ == "__main__":
    sys.exit(main(["tables", *sys.argv[1:]]))
