"""The metrics that servers give Prometheus, read beside a run: right if given, else harmless."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from ci import examples
from commandline import Cli
from fake_inference import Answer, Asked, FakeInference, binary_reply, json_reply, reply
from hypothesis import given, settings
from hypothesis import strategies as st

from aibench_fast import Result, RunConfig, run
from aibench_fast.protocols.address import http_address
from aibench_fast.protocols.openinference import statistics
from aibench_fast.protocols.openinference.statistics import MetricsReader
from aibench_fast.protocols.statistics import ServerReading
from aibench_fast.results.serverperiods import server_parts_ms

RECORDED = Path(__file__).parent / "metrics"
"""The answers of real servers: KServe 0.21.0, MLServer 1.7.1, Triton 2.51.0; shortened."""


TEXTS = st.text() | st.text('{}",=\\\n\t #_a1.e+-')
NAMES = st.sampled_from(["nv_inference_count", "process_resident_memory_bytes"])


def read(text: bytes, model: str = "m", version: str | None = None) -> ServerReading:
    with FakeInference(paths={"/metrics": reply(text)}) as fake:
        return MetricsReader(http_address(f"{fake.url}/metrics"), [model], version).read()


@settings(max_examples=examples(50))
@given(st.lists(st.builds(str.__add__, NAMES, TEXTS)))
def test_any_text_is_a_reading_or_a_note(
    lines: list[str],
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(statistics, "_fetched", lambda address: "\n".join(lines))
        reading = MetricsReader(http_address("http://127.0.0.1:1/metrics"), ["m"], None).read()
    assert bool(reading.counters) != bool(reading.notes)


@pytest.mark.parametrize("model", ['a "b"', "c\\d", "e,f}", "m{", "g=h"])
def test_a_model_of_any_name_is_found_among_others(model: str) -> None:
    escaped = model.replace("\\", r"\\").replace('"', r"\"")
    text = (
        "# TYPE nv_inference_count counter\n"
        f'nv_inference_count{{model="{escaped}",version="1"}} 4e1 1700000000000\n'
        f'nv_inference_count{{model="{escaped}",version="2"}} 2\n'
        'nv_inference_count{model="other",version="1"} 7\n'
    )
    assert read(text.encode(), model).counters == {"model_samples": 42}
    assert read(text.encode(), model, "1").counters == {"model_samples": 40}


def test_what_others_write_is_not_parsed() -> None:
    """Neither names that say nothing of a run nor a thousand other models take any time."""
    others = "".join(f'nv_inference_count{{model="m{number}"}} 1\n' for number in range(9000))
    text = f'{others}nv_gpu_power_usage{{ 1\nnv_inference_count{{model="m"}} 3\n'
    assert len(text) > statistics.MAX_PARSED_CHARACTERS
    assert read(text.encode()).counters == {"model_samples": 3}


@pytest.mark.parametrize(
    ("server", "counters", "memory_bytes"),
    [
        (
            "kserve",
            {
                "process_cpu_s": 1.49, "model_calls": 3, "model_input_us": 79.714,
                "model_infer_us": 334.355, "model_output_us": 20.891,
            },
            132452352,
        ),
        (
            "mlserver",
            {
                "process_cpu_s": 1.78, "model_calls": 3, "model_errors": 0,
                "model_infer_us": 636.577, "http_requests": 3, "http_us": 30021.967,
            },
            142041088,
        ),
        (
            "triton",
            {
                "model_calls": 40, "model_errors": 3, "model_samples": 80, "model_executions": 20,
                "model_duration_us": 4000, "model_queue_us": 400, "model_input_us": 40,
                "model_infer_us": 3000, "model_output_us": 30,
            },
            None,
        ),
    ],
)  # fmt: skip
def test_what_real_servers_tell_is_understood(
    server: str, counters: dict[str, float], memory_bytes: int | None
) -> None:
    reading = read((RECORDED / f"{server}.txt").read_bytes())
    assert reading.counters == pytest.approx(counters, abs=0.001)
    assert reading.levels.get("used_memory_rss_bytes") == memory_bytes
    assert reading.notes == ()


def kserve_text(requests: int) -> bytes:
    return (
        f"process_cpu_seconds_total {requests / 100}\n"
        f'request_predict_seconds_count{{model_name="m"}} {requests}.0\n'
        f'request_predict_seconds_sum{{model_name="m"}} {requests * 0.002}\n'
        f'request_predict_seconds_count{{model_name="other"}} 1e6\n'
        "process_resident_memory_bytes 5e7\n"
    ).encode()


class Counting:
    """A server that counts its inferences for Prometheus, and at the other readings misbehaves."""

    def __init__(self, misbehave: Callable[[], Answer | Awaitable[Answer]] | None = None) -> None:
        self.requests = self.readings = 0
        self.headers: list[dict[str, str]] = []
        self._misbehave = misbehave

    def infer(self, asked: Asked, number: int) -> bytes:
        self.requests += 1
        return binary_reply()

    def metrics(self, asked: Asked) -> Answer | Awaitable[Answer]:
        self.readings += 1
        self.headers.append(asked.headers)
        if self._misbehave and self.readings > 1:
            return self._misbehave()
        return reply(kserve_text(self.requests))


def measured(counting: Counting, **changes: Any) -> Result:
    with FakeInference(infer=counting.infer, paths={"/metrics": counting.metrics}) as fake:
        usual: dict[str, Any] = {"max_queries": 60, "limit_rps": 100, "reporting_period_s": 0.1}
        return run(RunConfig(file=None, url=fake.url, model="m", **(usual | changes)))


def test_a_run_has_the_differences_by_period_and_over_all() -> None:
    result = measured(Counting())
    overall = result.server.periods["overall"]
    assert overall["model_calls"] == 60  # without the trial
    assert overall["model_infer_us"] == pytest.approx(120_000)
    assert overall["process_cpu_s"] == pytest.approx(0.6)
    assert overall["used_memory_rss_bytes"] == 50_000_000
    periods = [stats for key, stats in result.server.periods.items() if key != "overall"]
    assert len(periods) > 3
    assert sum(stats["model_calls"] for stats in periods) == 60


MANY_LABELS = b"nv_inference_count{%s} 1" % b",".join(
    b'a%x=""' % number for number in range(200_000)
)


async def silence() -> bytes:
    await asyncio.sleep(3600)
    return b""


@pytest.mark.parametrize(
    ("misbehave", "told"),
    [
        (lambda: None, "no reading of http"),
        (lambda: reply(b"<html>\xff{{{ 1e999 nan"), "no metric of a known name"),
        (lambda: reply(b"", status="500 Oh"), "it answers HTTP 500"),
        (lambda: b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nprocess", "no reading of http"),
        (lambda: reply(b"a 1\n" * (1 << 21)), "more than 4,194,304 bytes"),
        (lambda: reply(MANY_LABELS), "its lines have more than 131,072 characters"),
        (lambda: reply(b'nv_inference_count{model="m" 4'), "not in Prometheus's text format"),
        (silence, "no reading of http"),
    ],
)
def test_an_endpoint_that_misbehaves_harms_no_run(
    monkeypatch: pytest.MonkeyPatch,
    misbehave: Callable[[], Answer | Awaitable[Answer]],
    told: str,
) -> None:
    monkeypatch.setattr(statistics, "TIME_ALLOWED_S", 0.3)
    counting = Counting(misbehave)
    result = measured(counting)
    assert (result.successes, result.failed) == (60, 0)
    assert len(result.intervals) >= 5  # the lines go on meanwhile
    assert counting.readings > 1
    notes = " ".join(result.server.periods["overall"]["notes"])
    assert told in notes


def test_an_endpoint_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time; all of them would take forever."""
    monkeypatch.setattr(statistics, "TIME_ALLOWED_S", 0.3)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b"#")
            await writer.drain()
            await asyncio.sleep(0.02)

    async def read() -> tuple[str, ...]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = http_address(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/metrics")
        reading = await asyncio.to_thread(MetricsReader(address, ["m"], None).read)
        server.close()
        return reading.notes

    began_s = time.monotonic()
    (note,) = asyncio.run(read())
    assert note.startswith("no reading of http")
    assert time.monotonic() - began_s < 30


def test_what_knows_nothing_of_the_model_is_another_programs() -> None:
    with FakeInference(paths={"/metrics": reply(b"process_cpu_seconds_total 5\n")}) as fake:
        result = run(RunConfig(file=None, url=fake.url, model="m", max_queries=5))
    assert "process_cpu_s" not in result.server.periods["overall"]


def test_mlserver_is_looked_for_at_its_own_port(monkeypatch: pytest.MonkeyPatch) -> None:
    text = reply((RECORDED / "mlserver.txt").read_bytes())
    with FakeInference(paths={"/metrics": text}) as other:
        monkeypatch.setattr(statistics, "MLSERVER_PORT", other.port)
        told = {"/v2": json_reply({"name": "mlserver", "version": "1", "extensions": []})}
        with FakeInference(paths=told) as fake:
            result = run(RunConfig(file=None, url=fake.url, model="m", max_queries=5))
    assert result.server.periods["overall"]["used_memory_rss_bytes"] == 142041088


def test_headers_go_to_the_server_alone() -> None:
    secret = (("Authorization", "Bearer hush"),)
    counting = Counting()
    measured(counting, headers=secret)
    assert counting.headers[0]["authorization"] == "Bearer hush"
    elsewhere = Counting()
    with FakeInference(paths={"/metrics": elsewhere.metrics}) as fake:
        measured(Counting(), headers=secret, metrics_url=f"{fake.url}/metrics")
    assert elsewhere.readings > 1
    assert not any("authorization" in headers for headers in elsewhere.headers)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--metrics-url", "http://127.0.0.1:1/metrics"), 3, "Connection refused"),
        (("--metrics-url", "{url}"), 3, "it answers HTTP 404"),
        (("--metrics-url", "{url}/v2"), 3, "it has no metric of a known name"),
        (("--metrics-url", "127.0.0.1"), 2, "--metrics-url 127.0.0.1: write http://HOST:PORT"),
    ],
)
def test_a_url_that_tells_nothing_is_refused_before_the_run(
    cli: Cli, arguments: tuple[str, str], code: int, told: str
) -> None:
    with FakeInference() as fake:
        words = [word.format(url=fake.url) for word in arguments]
        done = cli("run", "--url", fake.url, "--model", "m", "--max-queries", 5, *words)
        assert len(fake.asked) <= 1  # the trial
    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert told in done.stderr


def test_metrics_of_redisai_are_refused(cli: Cli) -> None:
    done = cli("run", "--shape", 4, "--metrics-url", "http://127.0.0.1:1", code=2, errors=1)
    assert "--metrics-url without --url" in done.stderr


@pytest.mark.parametrize(
    ("overall", "parts"),
    [
        ({"model_calls": 4, "model_duration_us": 80.0}, None),
        ({"model_calls": 4, "model_infer_us": 8000}, {"infer": 2.0}),
        (
            {"model_calls": 4, "model_infer_us": 8000, "http_requests": 5, "http_us": 25_000},
            {"infer": 2.0, "http": 3.0},
        ),
    ],
)
def test_the_parts_of_a_requests_time_are_those_that_are_told(
    overall: dict[str, float], parts: dict[str, float] | None
) -> None:
    assert server_parts_ms(overall) == parts
