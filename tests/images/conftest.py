from pathlib import Path

import pytest
from pictures import encode, noise

SIZES = [(640, 480), (480, 640), (256, 256), (300, 451), (100, 130)]


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Five photographs of different sizes; PNG, so that their pixels are known."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number, size in enumerate(SIZES):
        (folder / f"{number}.png").write_bytes(encode(noise(*size, seed=number)))
    return folder
