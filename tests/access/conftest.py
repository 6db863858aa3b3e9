"""Certificates, and a server that speaks TLS."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certificates import Authority, Certificate
from tls_redis import TlsRedis


@pytest.fixture(scope="session")
def redis_program(system_program: Callable[[str, str], Path]) -> Path:
    return system_program("redis-server", "redis-server")


@pytest.fixture(scope="session")
def server(
    redis_program: Path, authority: Authority, certificate: Certificate
) -> Iterator[TlsRedis]:
    with TlsRedis(redis_program, authority.file, certificate) as running:
        yield running
