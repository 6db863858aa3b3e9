"""A server whose answers are late on order, in each protocol and encoding."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from fake_inference import OUTPUT_BYTES, Asked, FakeInference, binary_reply, json_reply, output
from fake_redisai import OK, FakeRedisAI

from aibench_fast import Result, RunConfig, run
from aibench_fast.results.events import Event

PROTOCOLS = ("redisai", "binary", "json")
VALUES = 16
Delay = Callable[[int], float]
"""How many seconds late a request of this number is answered; the trial is number 0."""


def run_late(
    protocol: str,
    delay_s: Delay,
    observe: Callable[[Event], None] = lambda event: None,
    **settings: object,
) -> Result:
    """Run against such a server."""
    if protocol == "redisai":

        def behave(_: Sequence[bytes], number: int) -> Awaitable[bytes]:
            return asyncio.sleep(delay_s(number), OK)

        with FakeRedisAI(AI_MODELRUN=behave) as redisai:
            address = redisai.address
            return _run(observe, address=address, **settings)
    zeros = {"outputs": [{**output(), "data": [0.0] * (OUTPUT_BYTES // 4)}]}
    answer = binary_reply() if protocol == "binary" else json_reply(zeros)
    trials = 0

    def infer(asked: Asked, number: int) -> Awaitable[bytes] | bytes:
        nonlocal trials
        if protocol == "json" and "inference-header-content-length" in asked.headers:
            trials = 1
            return json_reply({"error": "JSON alone"}, "400 X")
        return asyncio.sleep(delay_s(number - trials), answer)

    with FakeInference(infer=infer) as server:
        server.model["inputs"][0]["shape"] = [-1, VALUES]
        return _run(observe, url=server.url, model="m", **settings)


def _run(observe: Callable[[Event], None], **settings: object) -> Result:
    return run(RunConfig(file=None, shape=(VALUES,), **settings), observe)  # type: ignore[arg-type]
