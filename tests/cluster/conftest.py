"""A real cluster of three primaries, each with a replica, for the tests that leave it whole."""

from collections.abc import Iterator

import pytest

from aibench_fast.server.cluster import EmbeddedCluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(replicas=1) as running:
        yield running
