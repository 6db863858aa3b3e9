"""Runs against the server of tokens, and what its log says that it did."""

from pathlib import Path
from typing import Any

import numpy as np

from aibench_fast import Result, RunConfig, run
from aibench_fast.server.tokenlog import RECORD, TOKEN, read_log
from aibench_fast.server.tokenserver import TokenServer

PROMPT_TOKENS = 5


def prompts_in(folder: Path) -> Path:
    """A file with one prompt."""
    file = folder / "prompts.jsonl"
    file.write_text('{"text": "five words are in it"}\n')
    return file


def settings(server: TokenServer, prompts: Path, **others: object) -> dict[str, object]:
    """Those of a run of 4 streams of 5 tokens, or as others say."""
    usual: dict[str, object] = {
        "file": None, "url": server.url, "prompts": prompts, "model": server.simulation.model,
        "output_tokens": 5, "max_queries": 4,
    }  # fmt: skip
    return usual | others


def against(server: TokenServer, prompts: Path, **others: object) -> Result:
    return run(RunConfig(**settings(server, prompts, **others)))  # type: ignore[arg-type]


def streams(log: Path) -> list[Any]:
    """The records of each request but the first, the trial, in the order in which they came."""
    found: dict[tuple[int, int], list[Any]] = {}
    for record in read_log(log):
        found.setdefault((int(record["port"]), int(record["request"])), []).append(record)
    _, *others = [np.array(one, RECORD) for one in found.values()]
    return others


def tokens_of(stream: Any) -> Any:
    """Its records of tokens."""
    return stream[(stream["flags"] & TOKEN) != 0]
