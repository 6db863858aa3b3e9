"""`make perf`, in short: every form of the table is there; its figures are nobody's concern here."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GROUPS = ("bare-loop", "large-sets", "recording", "growth-batch")


@pytest.fixture(scope="module")
def redis_benchmark() -> None:
    if shutil.which("redis-benchmark") is None:
        told = "no redis-benchmark: apt-get install redis-tools"
        if os.environ.get("CI"):
            pytest.fail(told)
        pytest.skip(told)
