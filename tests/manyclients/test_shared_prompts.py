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
from aibench_fast.clients.files import with_files
from aibench_fast.load.kinds import RequestKind, body_input
from aibench_fast.protocols.protocol import DrawnPrompts

STREAM = whole(delta(content="a"), DONE)


def test_every_file_is_the_one_of_the_client() -> None:
    own = DrawnPrompts((4, 9), None, Path("of-mix.json"))
    mix = tuple(RequestKind(name, (body_input(None, drawn=own),)) for name in ("a", "b"))
    asked = RunConfig(file=None, url="http://h/v1/completions", mix=mix, extra_body=Path("e.json"))
    drawn = RunConfig(
        file=None, url="http://h/v1/completions", prompt_tokens=5, tokenizer=Path("t.json")
    )
    where = {Path(name): Path("/there") / name for name in ("of-mix.json", "e.json", "t.json")}
    found = with_files(asked, where)
    assert {one.drawn and one.drawn.tokenizer for kind in found.kinds for one in kind.inputs} == {
        Path("/there/of-mix.json")
    }
    assert found.extra_body == Path("/there/e.json")
    assert with_files(drawn, where).tokenizer == Path("/there/t.json")


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
