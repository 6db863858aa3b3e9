"""The clients of streams of tokens that are compared: each call is one round of one of them.

All send the same chat and get `OUTPUT_TOKENS` tokens, in a closed loop of so many streams, whose
first two rounds are warm-up.
"""

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aibench_fast import RunConfig
from aibench_fast.load.runner import PreparedRun
from aibench_fast.protocols.address import http_address
from aibench_fast.protocols.openinference.http.exchange import end_of_head, open_head
from aibench_fast.results.events import ignore
from aibench_fast.results.result import Result
from aibench_fast.server.tokenlog import Records
from benchmarks.perf.event_logs import read_bare_log
from benchmarks.perf.programs import ROOT, cost_of, output_of

CHAT = "/v1/chat/completions"
MODEL = "simulated"
OUTPUT_TOKENS = 100
MESSAGES = [{"role": "user", "content": "Count to a hundred."}]
WARM_UP_ROUNDS = 2
SERVERS = ROOT / "build" / "servers"
_TOKENIZER = {
    "version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"},
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"},
}  # fmt: skip


@dataclass(frozen=True)
class Load:
    """The load that a client is to make."""

    url: str
    """Of the server, without a path."""
    streams: int
    run_s: float
    """After the warm-up."""
    request_s: float
    """About how long a request takes."""

    @property
    def warm_up_requests(self) -> int:
        """How many requests come first, and count in no figure."""
        return WARM_UP_ROUNDS * self.streams

    @property
    def with_warm_up_s(self) -> float:
        """How long a client runs, warm-up included, that is not given a number of requests."""
        return self.run_s + WARM_UP_ROUNDS * self.request_s


@dataclass(frozen=True)
class Reported:
    """A client's report of the requests that it measured, which are the last ones of its run."""

    requests: int
    first_token_ms: float
    """The mean."""
    gap_ms: float
    """The mean of the gaps."""
    gap_p99_ms: float
    """Their 99th percentile."""
    tokens_per_s: float
    cpu_s: float
    """Of all its processes, from the start of the load to the end, or of all that they did."""
    token_cpu_s: float = 0.0
    """Of the threads that bear the load, for a token, where they are known."""
    gaps_are_means: bool = False
    """A gap is a request's mean: no others are reported."""


def body(output_tokens: int = OUTPUT_TOKENS) -> bytes:
    """Return the body of every request."""
    document = {
        "model": MODEL, "messages": MESSAGES, "stream": True,
        "stream_options": {"include_usage": True}, "max_tokens": output_tokens,
    }  # fmt: skip
    return json.dumps(document, separators=(",", ":")).encode()


def request(url: str, output_tokens: int = OUTPUT_TOKENS) -> bytes:
    """Return the bytes of every request as ours sends it."""
    sent = body(output_tokens)
    head = open_head(http_address(url), "POST", CHAT, {"Content-Type": "application/json"})
    return head + end_of_head({"Content-Length": len(sent)}) + sent


def config(
    folder: Path, url: str, streams: int, output_tokens: int = OUTPUT_TOKENS, **more: Any
) -> RunConfig:
    """Return the settings of a run of ours; `more` are other ones of RunConfig."""
    prompts = folder / "prompts.jsonl"
    prompts.write_text(json.dumps({"messages": MESSAGES}) + "\n")
    return RunConfig(
        file=None, url=url + CHAT, prompts=prompts, model=MODEL, output_tokens=output_tokens,
        workers=streams, **more,
    )  # fmt: skip


def ours(folder: Path, load: Load) -> Reported:
    """`aibench-fast run`, in this process.

    RuntimeError where a request failed.
    """
    settings = config(
        folder, load.url, load.streams, burn_in=load.warm_up_requests, duration_s=load.run_s
    )
    with PreparedRun(settings, ignore) as prepared:
        before_s = time.process_time()
        result = prepared.measure()
        cpu_s = time.process_time() - before_s
    if result.failed:
        raise RuntimeError(f"requests failed: {result.failures}")
    gaps = result.tokens.chunk_gaps
    (gap_p99_ms,) = gaps.quantiles_ms([0.99])
    return Reported(
        requests=result.successes,
        first_token_ms=result.tokens.first_tokens.mean_ms,
        gap_ms=gaps.mean_ms,
        gap_p99_ms=gap_p99_ms,
        tokens_per_s=result.tokens.output_tokens_per_s,
        cpu_s=cpu_s,
        token_cpu_s=request_cpu_s(result, load.streams) / OUTPUT_TOKENS,
    )


def request_cpu_s(result: Result, streams: int) -> float:
    """Return the CPU seconds of the I/O threads for a request.

    They are counted from the first measured reply's end, at which a round of requests is over.
    """
    return result.client.cpu_s / (result.requests - streams)


def bare_loop(program: Path, folder: Path, load: Load) -> tuple[Records, float]:
    """Run the bare C loop; return its log, and its CPU seconds."""
    sent, log = folder / "request", folder / "bare.log"
    sent.write_bytes(request(load.url))
    port = http_address(load.url).port
    printed = output_of([program, port, load.streams, load.with_warm_up_s, sent, log])
    return read_bare_log(log), float(printed.split()[2])


@dataclass(frozen=True)
class Aiperf:
    """NVIDIA's client for generative models, which sends bodies as they are given."""

    program: Path

    def run(self, load: Load) -> Reported:
        """Measure; RuntimeError where a request failed."""
        found, cpu_s = self._run(
            load, "--warmup-request-count", load.warm_up_requests,
            "--benchmark-duration", load.run_s,
        )  # fmt: skip
        if found.get("error_request_count") or not found.get("time_to_first_token"):
            raise RuntimeError(f"AIPerf: requests failed, or none was measured: {found}")
        return Reported(
            requests=round(found["request_count"]["avg"]),
            first_token_ms=found["time_to_first_token"]["avg"],
            gap_ms=found["inter_chunk_latency"]["avg"],
            gap_p99_ms=found["inter_chunk_latency"]["p99"],
            tokens_per_s=found["output_token_throughput"]["avg"],
            cpu_s=cpu_s,
        )

    def start_cpu_s(self, url: str) -> float:
        """Return the CPU seconds of a run of hardly any requests."""
        return self._run(Load(url, 1, 0, 0), "--request-count", 1)[1]

    def _run(self, load: Load, *options: object) -> tuple[Mapping[str, Any], float]:
        with _folder() as folder:
            (folder / "bodies.jsonl").write_bytes(body() + b"\n")
            _, cpu_s = cost_of(
                [self.program, "profile", "--model", MODEL, "--url", load.url, "--endpoint-type",
                 "chat", "--streaming", "--use-server-token-count", "--input-file",
                 folder / "bodies.jsonl", "--custom-dataset-type", "raw-payload", "--tokenizer",
                 _tokenizer(folder), "--concurrency", load.streams, "--ui", "none",
                 "--no-gpu-telemetry", "--no-server-metrics", "--output-artifact-dir", folder,
                 *options]
            )  # fmt: skip
            return json.loads((folder / "profile_export_aiperf.json").read_text()), cpu_s


@dataclass(frozen=True)
class Guidellm:
    """The client of the vLLM project, which makes requests from prompts."""

    program: Path

    def run(self, load: Load) -> Reported:
        """Measure; RuntimeError where a request failed."""
        found, cpu_s = self._run(
            load, f"warmup={WARM_UP_ROUNDS * load.request_s}",
            f"kind=max_duration,seconds={load.with_warm_up_s}",
        )  # fmt: skip
        requests = found["requests"]
        if requests["errored"] or not requests["successful"]:
            raise RuntimeError(f"guidellm: requests failed, or none was measured: {found}")
        metrics = found["metrics"]
        gaps = metrics["inter_token_latency_ms"]["successful"]
        return Reported(
            requests=len(requests["successful"]),
            first_token_ms=metrics["time_to_first_token_ms"]["successful"]["mean"],
            gap_ms=gaps["mean"],
            gap_p99_ms=gaps["percentiles"]["p99"],
            tokens_per_s=metrics["output_tokens_per_second"]["successful"]["mean"],
            cpu_s=cpu_s,
            gaps_are_means=True,
        )

    def start_cpu_s(self, url: str) -> float:
        """Return the CPU seconds of a run of hardly any requests."""
        return self._run(Load(url, 1, 0, 0), "warmup=0", "kind=max_requests,count=1")[1]

    def _run(self, load: Load, profile: str, until: str) -> tuple[Mapping[str, Any], float]:
        with _folder() as folder:
            line = json.dumps(
                {"prompt": MESSAGES[0]["content"], "output_tokens_count": OUTPUT_TOKENS}
            )
            (folder / "prompts.jsonl").write_text(f"{line}\n" * 20 * load.streams)
            _, cpu_s = cost_of(
                [self.program, "run", "--backend",
                 f"kind=openai_http,target={load.url},model={MODEL}", "--profile",
                 f"kind=concurrent,streams={load.streams},{profile}", "--constraint", until,
                 "--tokenizer", f"kind=huggingface_auto,model={_tokenizer(folder)}", "--data",
                 f"kind=json_file,path={folder / 'prompts.jsonl'}", "--output",
                 f"kind=json,path={folder / 'result.json'}", "--disable-console"]
            )  # fmt: skip
            (found,) = json.loads((folder / "result.json").read_text())["benchmarks"]
            return found, cpu_s


def installed_clients() -> dict[str, Aiperf | Guidellm]:
    """Return the clients of others that are there, by name; `make aiperf servers` installs them."""
    found: dict[str, Aiperf | Guidellm] = {
        "AIPerf": Aiperf(SERVERS / "aiperf" / "bin" / "aiperf"),
        "guidellm": Guidellm(SERVERS / "tokens" / "bin" / "guidellm"),
    }
    return {name: client for name, client in found.items() if client.program.exists()}


def _tokenizer(folder: Path) -> Path:
    """Write a tokenizer, which both load, though the server counts; the network is not asked."""
    made = folder / "tokenizer"
    made.mkdir()
    (made / "tokenizer.json").write_text(json.dumps(_TOKENIZER))
    (made / "tokenizer_config.json").write_text('{"tokenizer_class":"PreTrainedTokenizerFast"}')
    return made


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="aibench-perf-") as folder:
        yield Path(folder)
