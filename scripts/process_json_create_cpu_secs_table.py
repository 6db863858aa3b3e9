#!/usr/bin/env python3
"""Print the server's CPU use by reporting period, like aibench's script of this name."""

import argparse
import sys

try:
    from aibench_fast.cli import main
except ModuleNotFoundError:
    sys.exit("aibench-fast is not installed for this Python: see README.md")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", metavar="RESULT", help="a result file (JSON)")
    sys.exit(main(["tables", "--cpu", parser.parse_args().result]))
