"""Conversations and traces shared out over several clients."""

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

from dask.distributed import Client
from smallruns import config_of
from token_server import DONE, delta, token_server, whole

from aibench_fast import run

CLIENTS = 3
GOOD = whole(delta(content="a"), DONE)


def test_a_conversation_is_of_one_client_alone(dask: Client, tmp_path: Path) -> None:
    """Each turn is sent once, after the one before it has ended, whichever client sends it."""
    prompts = tmp_path / "p.jsonl"
    turns = [
        {"session": session, "text": f"{session} {number}", "answer": "x"}
        for number in range(4)
        for session in range(10)
    ]
    prompts.write_text("".join(f"{json.dumps(one)}\n" for one in turns))
    with token_server(lambda _: [0.002, *GOOD]) as server:
        result = run(config_of(server, prompts=prompts, workers=4), client=dask, clients=CLIENTS)
    found = defaultdict(list)
    for number, body in enumerate(server.asked[CLIENTS:], CLIENTS):  # behind the trials
        session, place = body["messages"][-1]["content"].split()
        found[session].append((int(place), number))
    assert result.successes == 40
    assert len(result.clients) == CLIENTS
    assert (result.facts["Sessions"], result.facts["Turns"]) == (10, 40)
    for sent in found.values():
        assert [place for place, _ in sent] == [0, 1, 2, 3]
        for (_, before), (_, after) in pairwise(sent):
            assert server.asked_at[after] > server.ending_at[before]


def test_a_trace_is_sent_as_by_one_client(dask: Client, tmp_path: Path) -> None:
    trace = tmp_path / "t.jsonl"
    lines = [
        {"timestamp": 30 * n, "input_length": n + 1, "output_length": n + 2, "hash_ids": [n]}
        for n in range(20)
    ]
    trace.write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    with token_server(lambda _: GOOD) as server:
        result = run(config_of(server, trace=trace, workers=6), client=dask, clients=CLIENTS)
    sent = zip(server.asked[CLIENTS:], server.asked_at[CLIENTS:], strict=True)
    came = {
        body["max_tokens"]: (len(body["messages"][0]["content"].split()), at) for body, at in sent
    }
    assert {most: length for most, (length, _) in came.items()} == {n + 2: n + 1 for n in range(20)}
    worst_s = result.latencies.max_ms / 1000 + 0.005  # clocks of clients differ by less
    for n in range(1, 20):
        assert abs(came[n + 2][1] - came[2][1] - 0.03 * n) <= worst_s
    assert result.schedule.arrivals["File"] == str(trace)
