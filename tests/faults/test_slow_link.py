"""A link that holds up one reply in a hundred: what users wait, against a model of the schedule."""

import random
from collections.abc import Sequence
from itertools import count

import pytest
from fake_inference import FakeInference
from fake_redisai import FakeRedisAI
from faultproxy import FaultProxy
from faults.runs import conserved

from aibench_fast import Result, ServerAddress
from aibench_fast.results.histogram import LatencyHistogram

RATE_PER_S = 75.0
REQUESTS = 200
HELD_S = 0.2
QUANTILES = (0.9, 0.95, 0.98)
ATTEMPTS = 5
BUSY_MS = 2.0
BUSY_SPREAD = 1.5


def through_slow_link(protocol: str) -> tuple[Result, list[float]]:
    """A run of one worker, and for how long each of its replies was held up."""
    held = {hundred + random.Random(hundred).randrange(50) for hundred in range(0, REQUESTS, 100)}
    replies = count()

    def hold_s() -> float:
        return HELD_S if next(replies) in held else 0.0

    with (
        FakeRedisAI() as redisai,
        FakeInference() as inference,
        FaultProxy((redisai if protocol == "resp" else inference).port, hold_s=hold_s) as proxy,
    ):
        where: dict[str, object] = {"address": ServerAddress("127.0.0.1", proxy.port)}
        if protocol == "http":
            where = {"url": f"http://127.0.0.1:{proxy.port}"}
        result = conserved(
            proxy.arm, **where, model="m", use_dag=protocol == "resp", limit_rps=RATE_PER_S,
            duration_s=REQUESTS / RATE_PER_S,
        )  # fmt: skip
    assert result.failures == {}
    return result, proxy.held_s


def waits_ms(held_s: Sequence[float], served_s: float) -> list[float]:
    """The wait of each request of one worker from when it was due: Lindley's recursion."""
    waits, free_s = [], 0.0
    for number, one_s in enumerate(held_s):
        due_s = number / RATE_PER_S
        free_s = max(due_s, free_s) + served_s + one_s
        waits.append((free_s - due_s) * 1000)
    return sorted(waits)


def modelled(waits: Sequence[float]) -> list[float]:
    """The figures that are compared: mean and quantiles."""
    return [sum(waits) / len(waits), *(waits[round(q * len(waits)) - 1] for q in QUANTILES)]


def measured(latencies: LatencyHistogram) -> list[float]:
    return [latencies.mean_ms, *latencies.quantiles_ms(QUANTILES)]


@pytest.mark.parametrize("protocol", ["resp", "http"])
def test_one_reply_in_a_hundred_late_is_in_the_response_latency(protocol: str) -> None:
    """A machine that is busy with something else adds to both; on none is it tried again."""
    lags_ms, spreads = [], []
    for _ in range(ATTEMPTS):
        result, held_s = through_slow_link(protocol)
        service = result.service_latencies
        served_s = service.mean_ms / 1000 - sum(held_s) / len(held_s)
        model = modelled(waits_ms(held_s, served_s))
        if measured(result.latencies) == pytest.approx(model, rel=0.05):
            # What the server took for each is not what users waited.
            assert service.quantiles_ms([0.98])[0] < HELD_S * 1000 / 2
            return
        lags_ms += result.client.timer_lags.quantiles_ms([0.99])
        p50, p90 = service.quantiles_ms([0.5, 0.9])
        spreads.append(p90 / p50)
    # The model has one service time for all, and no timer that is late.
    if min(lags_ms) > BUSY_MS or min(spreads) > BUSY_SPREAD:
        pytest.skip(
            f"the machine is busy: timers were {min(lags_ms):.1f} ms late or more, and p90 of "
            f"the service {min(spreads):.1f} times p50"
        )
    assert measured(result.latencies) == pytest.approx(model, rel=0.05)
