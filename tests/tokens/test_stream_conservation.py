"""Streams, requests and tokens are conserved, whatever the server and what is before it do."""

import json
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from faultproxy import CHANGING, DELAYING, REQUESTS, Fault, FaultProxy
from faults import drawn
from faults.drawn import DRAWN, fault, run_through, schedules
from hypothesis import event as count_event
from hypothesis import given
from hypothesis import strategies as st
from simulation import prompts_in, streams, tokens_of

from aibench_fast import Result, RunConfig
from aibench_fast.server.tokenlog import CAME, DONE
from aibench_fast.server.tokenserver import FAILURES, Simulation, TokenServer

RATE_PER_S = 200.0
MOST_BYTES = 4000
"""Before a fault: a few streams."""
TIMEOUTS = {"client_timeout", "first_token_timeout", "token_timeout"}


@dataclass(frozen=True)
class Load(drawn.Load):
    """The load on a model of tokens."""

    output_tokens: int = 4
    is_chat: bool = True
    limits: tuple[tuple[str, object], ...] = ()
    """Settings of what a stream has to be."""
    counts_tokens: bool = False
    """Whether each has to have as many as it was asked for."""

    @property
    def is_strict(self) -> bool:
        """Whether a stream that the server ends before its last token is a failure."""
        return self.counts_tokens or self.has_ends

    @property
    def has_ends(self) -> bool:
        """Whether a stream fails that does not say that it ends."""
        return dict(self.limits).get("stream_end") != "http"


LIMITS = [
    (), (), (("first_token_timeout_s", 0.02),), (("token_timeout_s", 0.02),),
    (("stream_end", "http"),), (("stream_end", "done"),),
]  # fmt: skip
loads = st.builds(
    Load,
    **DRAWN,
    shape=st.sampled_from(["closed", "conversations", "even", "poisson", "profile", "trace"]),
    workers=st.integers(1, 5),
    requests=st.integers(8, 30),
    output_tokens=st.integers(1, 8),
    is_chat=st.booleans(),
    limits=st.sampled_from(LIMITS),
    counts_tokens=st.booleans(),
).map(Load.possible)
shares = st.sampled_from([0.05, 0.1, 0.2])
simulations = st.builds(
    Simulation,
    prefill_s=st.sampled_from([0.0, 0.001, 0.01]),
    decode_s=st.sampled_from([0.0, 0.0005, 0.002]),
    batch_limit=st.sampled_from([0, 0, 1, 2]),
    reasoning_tokens=st.sampled_from([0, 0, 2]),
    events_per_write=st.sampled_from([1, 1, 3]),
    segments=st.sampled_from([1, 1, 2, 50]),
    stall_s=st.sampled_from([0.0, 0.0, 0.0, 0.03, 0.08]),
    stall_period_s=st.just(0.2),
    failures=st.dictionaries(st.sampled_from([*FAILURES, "429", "503"]), shares, max_size=3),
    fail_after=st.integers(0, 4),
    seed=st.integers(0, 1000),
)


def stream_end(data: bytes, start: int) -> int | None:
    """Where a reply ends that says its length or is in chunks."""
    head = data.find(b"\r\n\r\n", start)
    if head < 0:
        return None
    length = re.search(rb"(?i)content-length: *(\d+)", data[start:head])
    if length:
        end = head + 4 + int(length[1])
        return end if end <= len(data) else None
    last = data.find(b"\r\n0\r\n\r\n", head)
    return last + 7 if last >= 0 else None


def sent_of(load: Load, folder: Path) -> dict[str, object]:
    """The source of requests: a prompt, turns of conversations, or a trace."""
    file = folder / "lines.jsonl"
    length = load.output_tokens
    if load.shape == "trace":
        lines: list[dict[str, object]] = [
            {
                "timestamp": n * n % 7 + 5 * n, "input_length": 5, "output_length": length,
                "hash_ids": [n % 3],
            }
            for n in range(load.requests)
        ]  # fmt: skip
    else:
        lines = [
            {"session": n % 3, "text": "go on", "answer": "yes", "delay_ms": n % 5 * (n >= 3)}
            for n in range(load.requests)
        ]
    file.write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    if load.shape == "trace":
        return {"trace": file}
    prompts = file if load.shape == "conversations" else prompts_in(folder)
    return {"prompts": prompts, "output_tokens": length}


def config_of(load: Load, ports: Sequence[int], folder: Path) -> RunConfig:
    """A run of this load through the proxies."""
    chats = load.is_chat or load.shape == "conversations"
    path = "/v1/chat/completions" if chats else "/v1/completions"
    url, *others = [f"http://127.0.0.1:{port}{path}" for port in ports]
    usual = load.settings(RATE_PER_S, "100/s for 50ms, 100/s to 300/s over 60ms")
    if load.shape == "trace":
        usual |= {"limit_rps": 0.0, "arrivals": "even", "duration_s": load.requests * 0.004}
    usual["workers"] = max(load.workers, load.servers)
    return RunConfig(
        **usual, **dict(load.limits), **sent_of(load, folder),  # type: ignore[arg-type]
        file=None,
        url=url,
        others=tuple(others),
        min_tokens=load.output_tokens if load.counts_tokens else 0,
        model="simulated",
    )  # fmt: skip


@schedules(300)
@given(
    load=loads,
    simulation=simulations,
    faults=st.lists(fault(MOST_BYTES), max_size=4),
    others_faults=st.lists(fault(MOST_BYTES), max_size=2),
)
def test_whatever_happens_tokens_are_conserved(
    tmp_path_factory: Any,
    load: Load,
    simulation: Simulation,
    faults: list[Fault],
    others_faults: list[Fault],
) -> None:
    folder = tmp_path_factory.mktemp("streams")
    logs = [folder / f"log{number}" for number in range(load.servers)]
    with ExitStack() as stack:
        servers = [stack.enter_context(TokenServer(replace(simulation, log=log))) for log in logs]
        proxies = [
            stack.enter_context(FaultProxy(server.port, of_server, end_of_reply=stream_end))
            for server, of_server in zip(servers, (faults, others_faults), strict=False)
        ]
        config = config_of(load, [proxy.port for proxy in proxies], folder)
        result, done, failed = run_through(proxies, load, config)
    happened = {fault.kind for fault in done}
    changed = {fault.direction for fault in done if fault.kind in CHANGING}
    found = [stream for log in logs for stream in streams(log)]
    check_requests(load, result, found, changed)
    check_tokens(load, result, found, changed)
    was_left = result.counts.all_requests.cancelled or failed & {*TIMEOUTS, "connection_lost"}
    if happened <= {*DELAYING} and not was_left:
        count_event("all tokens came")
        assert tokens_of_client(result) == tokens_of_servers(found)


def tokens_of_client(result: Result) -> int:
    """Of all streams: those that are measured, failed, warm up or were cut off."""
    tokens = result.tokens
    return tokens.chunks + tokens.failed_chunks + tokens.other_chunks


def tokens_of_servers(found: Sequence[Any]) -> int:
    return sum(len(tokens_of(stream)) for stream in found)


def check_requests(load: Load, result: Result, found: Sequence[Any], changed: set[str]) -> None:
    """Hold the client's count of requests against the servers'."""
    counts = result.counts.all_requests
    came = sum(int(stream["flags"][0] == CAME) for stream in found)
    if REQUESTS not in changed:
        assert counts.succeeded <= came <= counts.sent + result.connections.resent
    if not changed and load.has_ends:
        assert counts.succeeded <= sum(bool((one["flags"] & DONE).any()) for one in found)


def check_tokens(load: Load, result: Result, found: Sequence[Any], changed: set[str]) -> None:
    """Hold the client's count of tokens against itself, and against the servers'."""
    tokens = result.tokens
    assert tokens_of_client(result) == result.intervals[-1].chunks
    assert tokens.first_tokens.count == result.successes
    assert tokens.chunk_gaps.count == tokens.chunks - result.successes
    if changed:
        return
    assert tokens_of_client(result) <= tokens_of_servers(found)
    if load.is_strict:
        assert tokens.chunks == result.successes * load.output_tokens
        assert tokens.output_tokens == tokens.chunks
