from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with one prompt."""
    file = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    file.write_text('{"text": "one"}\n')
    return file
