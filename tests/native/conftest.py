"""What the native tests share: the sources of hiredis."""

from pathlib import Path

import pytest

import hiredis_source


@pytest.fixture(scope="session")
def hiredis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hiredis_source.hiredis_source(tmp_path_factory.mktemp("hiredis"))
