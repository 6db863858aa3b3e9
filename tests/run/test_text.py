"""The printed formats, whole, against golden files."""

from pathlib import Path
from typing import Any

import pytest
from resultfiles import changed, latencies, made

from aibench_fast.report import text
from aibench_fast.results.clientside import ClientCheck, Verdict
from aibench_fast.results.events import BurnInComplete, Digesting, Drawing
from aibench_fast.results.figures import (
    ClientFigures,
    Failure,
    KindFigures,
    ServerFigures,
    StepFigures,
)
from aibench_fast.results.groups import RequestCounts, ServerFacts
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.result import Interval, Result, Warned

GOLDEN = Path(__file__).parents[1] / "golden"
EMBEDDED = ServerFacts("aibench-fast embedded server", "0.1.0 on valkey 9.1.2", "localhost:6379")


def even(rps: float) -> dict[str, object]:
    """A rate limit as a result describes it."""
    return {"Kind": "even", "PeakRps": rps}


def kind(
    model: str, tensors: str, batch_size: int, weight: float, measured: LatencyHistogram
) -> KindFigures:
    return KindFigures(
        name=model,
        tensors=tensors,
        batch_size=batch_size,
        weight=weight,
        successes=measured.count,
        inferences=measured.count * batch_size,
        failures={},
        shed=0,
        late_starts=0,
        latencies=measured,
        service_latencies=None,
    )


def result(**changes: object) -> Result:
    usual = made(
        model="mobilenet_v1_100_224_cpu",
        query_label="RedisAI Query - mobilenet_v1_100_224 :AI.MODELRUN",
        data_file="vision_tensors.out",
        data_seed=None,
        shape=(224, 224, 3),
        dtype="FLOAT",
        workers=1,
        threads=1,
        batch_size=1,
        pipeline=1,
        max_queries=5000,
        limit_rps=0.0,
        metadata_autobatching=0,
        start_unix_ms=1_596_741_778_490,
        end_unix_ms=1_596_741_878_652,
        duration_s=100.162,
        measured_s=98.16,
        successes=4900,
        inferences=4900,
        inferences_with_burn_in=5000,
        failures={},
        burn_in_requests=100,
        burn_in_failures={},
        abandoned=0,
        reconnects=0,
        all_requests=RequestCounts(0, 0, 0, 0),
        outage_count=0,
        outages=(),
        late_starts=0,
        latencies=latencies(*[15.51] * 1000, *[16.96] * 1000, *[18.38] * 1500, *[74.05] * 1400),
        service_latencies=None,
        saturated=0,
        intervals=(),
        cpu_s=0.5,
        busiest_thread=0.01,
        check=ClientCheck(Verdict.SERVER_BOUND, "the client waited", 0.005, 0.5, 0.0),
        least_worker_requests=4900,
        most_worker_requests=4900,
        server={"facts": EMBEDDED},
        arrivals=None,
        shed=0,
        unsent=0,
        lag_exceeded=False,
        steps=(),
        kinds=(),
        start_lags=LatencyHistogram.empty(),
        timer_lags=LatencyHistogram.empty(),
        reply_waits=LatencyHistogram.empty(),
        facts={},
        interrupted=False,
    )
    return changed(usual, **changes)


def part(measured: LatencyHistogram, failed: int) -> dict[str, Any]:
    """The fields of any part, by a schedule: these successes, and so many failures."""
    return {
        "successes": measured.count,
        "inferences": measured.count,
        "failures": {"error_reply": Failure(failed, "ERR no")} if failed else {},
        "shed": 0,
        "late_starts": 0,
        "latencies": measured,
        "service_latencies": measured,
    }


def mostly_failed(successes: int) -> Result:
    """A run by a schedule over a step, a kind, a server and a client, with so many successes."""
    figures = part(latencies(*[5.0] * successes), failed=200)
    return result(
        arrivals=even(10.0),
        limit_rps=10.0,
        start_lags=latencies(*[0.1] * 50),
        kinds=[KindFigures(name="m", tensors="16 FLOAT", batch_size=1, weight=1.0, **figures)],
        steps=[
            StepFigures(name="10/s for 20s", seconds=20.0, unsent=0, **figures),
            StepFigures(name="0/s for 1s", seconds=1.0, unsent=0, **part(latencies(), failed=0)),
        ],
        servers=[
            ServerFigures(
                name="a:1", kind="RedisAI", version="1.2.7", workers=1, measured_s=20.0,
                server_stats={}, **figures,
            )
        ],
        clients=[
            ClientFigures(
                name="one", host="bench-1", workers=1, threads=1, measured_s=20.0, cpu_s=0.1,
                busiest_thread=0.1, check=None, clock_offset_s=0.0, clock_uncertainty_s=0.0,
                start_lag_s=0.0, lost=None, **figures,
            )
        ],
        **figures,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("summary", result()),
        (
            "summary_doubtful",
            result(
                successes=4888,
                inferences=4888,
                failures={
                    "error_reply": Failure(10, "ERR model key is empty"),
                    "client_timeout": Failure(2, "no complete answer within 90000 ms"),
                },
                burn_in_failures={"server_timeout": Failure(1, "TIMEDOUT")},
                abandoned=3,
                saturated=1,
                warnings=[Warned("saturated", "1 latencies above an hour are counted as an hour")],
                busiest_thread=0.97,
                check=ClientCheck(
                    Verdict.CLIENT_BOUND,
                    "an I/O thread was on a CPU 97% of the time",
                    0.97,
                    1.0,
                    0.013,
                ),
                interrupted=True,
            ),
        ),
        (
            "summary_nothing_measured",
            result(
                successes=0,
                inferences=0,
                measured_s=0.0,
                latencies=latencies(),
                interrupted=True,
            ),
        ),
        ("summary_no_success", mostly_failed(0)),
        ("summary_few_successes", mostly_failed(99)),
        ("summary_batches", result(batch_size=10, inferences=49000)),
        (
            "summary_generated",
            result(data_file=None, data_seed=7, shape=(16,), dtype="INT64"),
        ),
        (
            "summary_mix",
            result(
                model="mix of resnet, null",
                query_label="RedisAI Query - mix of resnet, null :AI.MODELRUN",
                data_file=None,
                data_seed=7,
                shape=(),
                dtype="",
                batch_size=0,
                inferences=13000,
                kinds=[
                    kind("resnet", "1 x 224 x 224 x 3 FLOAT", 1, 9.0, latencies(*[20.0] * 4000)),
                    kind("null", "10 x 16 INT64 and 10 x 16 BOOL", 10, 1.0, latencies(*[2] * 900)),
                ],
            ),
        ),
        (
            "summary_rate",
            result(
                limit_rps=50.0,
                arrivals=even(50.0),
                late_starts=3,
                service_latencies=latencies(*[15.51] * 4900),
            ),
        ),
        (
            "summary_rate_not_reached",
            result(
                limit_rps=62.5,
                arrivals=even(62.5),
                late_starts=4000,
                service_latencies=latencies(12.5),
            ),
        ),
    ],
)
def test_summary_is_as_the_golden_file(name: str, shown: Result) -> None:
    assert text.format_summary(shown) + "\n" == (GOLDEN / f"{name}.txt").read_text()


def test_what_the_servers_parts_are_of_is_told() -> None:
    """They are of the whole run, the latency of the measured requests alone."""

    def line(infer_us: float, burn_in: int) -> str:
        overall = {"model_calls": 10, "model_infer_us": infer_us}
        shown = text.format_summary(result(periods={"overall": overall}, burn_in_requests=burn_in))
        (found,) = (one for one in shown.splitlines() if one.startswith("A mean request's"))
        return found

    assert ", and " in line(10.0, 0)
    assert line(10.0, 0).endswith(" around it")
    assert line(10.0, 5).endswith(" around it; the server's figures include the warm-up")
    assert line(1e9, 5).endswith("infer 100000.000; the server's figures include the warm-up")


def test_live_lines_are_as_the_golden_file() -> None:
    lines = [
        text.CSV_HEADER,
        text.line_of(Interval(1_596_741_778_590, 56, 55.9, 0.0, (0.0,) * 5)),
        text.line_of(BurnInComplete(100, 1)),
        text.line_of(
            Interval(1_596_741_778_690, 115, 59.0, 57.4, (16.77, 17.86, 17.862, 18.98, 18.98))
        ),
    ]
    assert "\n".join(lines) + "\n" == (GOLDEN / "live_lines.txt").read_text()


def test_the_line_while_prompts_are_drawn() -> None:
    assert text.live_line(Drawing(300, 1200)) == "drawing prompts: 25%"


def test_the_line_while_the_tensor_file_is_read() -> None:
    line = text.live_line(Digesting(300, 1200))
    assert line == "reading the tensor file for its digest: 25%"
