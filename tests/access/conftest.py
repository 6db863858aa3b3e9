"""Certificates, and a server that speaks TLS."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certificates import Authority, Certificate
from tls_redis import TlsRedis


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certificate(authority: Authority) -> Certificate:
    """Of the servers here."""
    return authority.sign("server", "localhost", "127.0.0.1")


@pytest.fixture(scope="session")
def redis_program(system_program: Callable[[str, str], Path]) -> Path:
    return system_program("redis-server", "redis-server")


@pytest.fixture(scope="session")
def server(
    redis_program: Path, authority: Authority, certificate: Certificate
) -> Iterator[TlsRedis]:
    with TlsRedis(redis_program, authority.file, certificate) as running:
        yield running
