"""Where continuous integration is stricter than a developer's machine: it sets `CI`."""

import os
from typing import NoReturn

import pytest

IN_CI = bool(os.environ.get("CI"))


def missing(message: str) -> NoReturn:
    """Skip the test or, in CI, fail: everything is installed there."""
    if IN_CI:
        pytest.fail(message)
    pytest.skip(message)


def examples(in_ci: int, part: int = 4) -> int:
    """Return how many random examples a test tries: elsewhere than in CI that part of them."""
    return in_ci if IN_CI else in_ci // part
