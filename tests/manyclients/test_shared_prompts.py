"""Clients of a Dask cluster share the prompts of a run, and the files that these come from."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from dask.distributed import Client
from manyclients.conftest import WORKERS
from manyclients.there import hide
from token_server import DONE, delta, token_server, whole

from aibench_fast import RunConfig, run

STREAM = whole(delta(content="a"), DONE)


@pytest.mark.parametrize("drawn", [True, False])
def test_prompts_are_those_of_one_client(
    dask: Client, tmp_path: Path, changed: Callable[..., None], drawn: bool
) -> None:
    """Also of a file that the clients lack, as with the one of further fields."""
    file, extra = tmp_path / "p.jsonl", tmp_path / "extra.json"
    file.write_text("".join(f'{{"text": "line {n}"}}\n' for n in range(25)))
    extra.write_text('{"temperature": 0.5}')
    changed(hide, extra if drawn else file)
    with token_server(lambda _: STREAM, models=["llama"]) as server:
        config = RunConfig(
            file=None, url=server.address + "/v1/completions", extra_body=extra, workers=5,
            max_queries=60, seed=3, **({"prompt_tokens": (4, 9)} if drawn else {"prompts": file}),
        )  # fmt: skip
        counts = []
        for clients in (1, WORKERS):
            before = len(server.asked)
            result = run(config, client=dask, clients=clients)
            assert (result.successes, result.failures) == (60, {})
            trials = 1 if clients == 1 else WORKERS
            counts.append(Counter(one["prompt"] for one in server.asked[before + trials :]))
            assert {one["temperature"] for one in server.asked} == {0.5}
            assert {one["model"] for one in server.asked} == {"llama"}
    assert counts[0] == counts[1]
    assert counts[0].total() == 60
    assert len(counts[0]) == (60 if drawn else 25)
