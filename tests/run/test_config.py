"""The values that a run's settings take by default."""

import pytest

from aibench_fast import RunConfig
from aibench_fast.load import config as config_module


@pytest.mark.parametrize(
    ("settings", "threads"),
    [
        ({"workers": 50}, 16),
        ({"workers": 3}, 3),
        ({"workers": 64, "shape": (16,)}, 1),
        ({"workers": 65, "shape": (16,)}, 2),
        ({"workers": 900, "shape": (16,)}, 2),
        ({"workers": 50, "shape": (16,), "batch_size": 4096}, 16),
        ({"workers": 50, "threads": 5}, 5),
    ],
)
def test_large_requests_have_more_threads_than_cores(
    settings: dict[str, object], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_module, "available_cores", lambda: 2)
    assert RunConfig(file=None, **settings).io_threads == threads  # type: ignore[arg-type]


@pytest.mark.parametrize(("workers", "threads"), [(1, 1), (1024, 1), (1025, 2), (9000, 2)])
def test_a_thread_reads_many_streams_of_tokens(
    workers: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_module, "available_cores", lambda: 2)
    url = "http://127.0.0.1:1/v1/chat/completions"
    config = RunConfig(file=None, url=url, prompt_tokens=1, model="m", workers=workers)
    assert config.io_threads == threads
