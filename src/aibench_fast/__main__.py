"""`python -m aibench_fast` is `aibench-fast`."""

import sys

from aibench_fast.cli import main

sys.exit(main())
