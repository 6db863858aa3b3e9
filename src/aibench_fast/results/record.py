"""A run as its result file has it: one small record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from aibench_fast.results.clientside import Verdict
from aibench_fast.results.fields import figure
from aibench_fast.results.forms import QUANTILES
from aibench_fast.results.groups import ServerFacts
from aibench_fast.results.histogram import LatencyHistogram, is_known
from aibench_fast.results.notation import fact_text
from aibench_fast.results.serverperiods import ServerUse
from aibench_fast.results.streamnames import stream_columns

OURS = "aibench-fast"
GO_AIBENCH = "aibench"
CLOSED_LOOP = "closed loop"
"""Arrivals without a schedule. Both latencies are the same, unless a request had to connect."""
REDISAI_KINDS = ("RedisAI", "aibench-fast embedded server")
"""Servers whose models may have a BATCHSIZE. The Go tool, which names no server, uses no other."""

_SETUP_FACTS = (
    "Host", "CpuModel", "Cores", "Governor", "Kernel", "ServerConfig", "ModelDigest", "DataDigest",
    "Package", "Encoding", "Inputs", "Tls", "Clients",
)  # fmt: skip


class Cell(NamedTuple):
    """The settings that a sweep varies. Runs of one cell are repeats."""

    workers: int
    autobatching: int
    """The model's batch size on the server; -1 if it is unknown."""
    batch_size: int
    """Images a request; 0 if the kinds of a mix differ."""
    max_rps: float
    """The limit in requests a second; 0 for none."""
    server_name: str = ""
    """The name of the server, of several that are compared."""
    streams: bool = False
    """Whether replies are streams of tokens, so that batches are none of its settings."""
    lengths: str = ""
    """The lengths of drawn prompts and of answers that were asked for, in words."""

    @property
    def variant(self) -> str:
        """Return the cell without its workers, in words."""
        batch = f"tensor batch {self.batch_size or 'of a mix'}"
        words = f"tokens {self.lengths}".rstrip() if self.streams else batch
        words = f"auto-batching {self.autobatching}, {words}" if self.autobatching >= 0 else words
        words = f"{self.server_name}, {words}" if self.server_name else words
        return f"{words}, {self.max_rps:g} requests/s" if self.max_rps else words

    @property
    def values(self) -> dict[str, Any]:
        """Return the settings by name; those that tensors have alone are None of streams of tokens,
        and `streams` and `lengths` are among them only if they are set.
        """
        values = self._asdict()
        if self.streams:
            values |= {"autobatching": None, "batch_size": None}
        own = ("streams", "lengths")
        return {name: one for name, one in values.items() if one or name not in own}

    def __str__(self) -> str:
        """Return the whole cell in words."""
        return f"{self.workers} worker{'' if self.workers == 1 else 's'}, {self.variant}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """One result file. Latencies are milliseconds; None or empty: the file does not contain it.

    Fields with a key are the value of that key.
    """

    path: Path
    client: str
    """OURS or GO_AIBENCH."""
    cell: Cell
    inferences_per_s: float
    quantiles_ms: Mapping[str, float]
    """By the JSON's names: q0, q50, q95, q99, q999, q100, as far as known. q50 always is."""
    latency: str = figure("Latency")
    """`service`, from the actual start of a request, or `response`, from the intended one."""
    start_unix_ms: int | None
    duration_s: float | None
    """Burn-in included."""
    measured_s: float | None = figure("MeasuredSeconds")
    """The time that the rate is of."""
    model: str | None = figure("Model")
    query_label: str | None = figure("Query")
    data_file: str | None = figure("DataFile")
    data_seed: int | None = figure("DataSeed")
    """The seed of generated tensors."""
    tensor: str
    """One tensor in words, such as `224 x 224 x 3 FLOAT`."""
    threads: int | None = figure("Threads")
    pipeline: int = figure("Pipeline")
    """Requests outstanding on each connection."""
    servers: int
    """How many servers the run loaded at once."""
    server: ServerFacts | None
    server_use: ServerUse
    inferences_per_s_with_burn_in: float | None
    """Over the time that `server_use` is of."""
    facts: Mapping[str, Any]
    """Host, CpuModel, ModelDigest, CommandLine and so on."""
    requests: int | None = figure("Requests")
    """Measured requests."""
    successes: int | None
    arrivals: str | None
    """How requests were due, apart from the rate, in words."""
    not_sent: int
    """Due requests that were shed, or found no free worker before the end."""
    late_starts: int = figure("LateStarts")
    """Requests that started late because no worker was free."""
    connections: str | None
    """Why connections were made in the run, and how long that took, in words."""
    window_waits_ms: Mapping[str, float] | None = figure("WindowWait")
    """How long requests waited for the server's flow-control windows: quantiles, by `q50` and so
    on; None where servers have no such windows."""
    window_share: float = figure("WindowShare")
    """Those waits' share of the latencies."""
    failures: Mapping[str, tuple[int, str]]
    """Failures by kind, warm-up included: how many, and the first message."""
    warnings: Sequence[str]
    """Reasons to doubt the figures."""
    interrupted: bool
    verdict: str | None
    """Whether client or server set the figures, and why, as the run itself judged."""
    stream: Mapping[str, Any] | None = figure("Stream")
    """The figures of streams of tokens, as `StreamFigures` declares them; None of other replies."""
    encoded_latencies: str | None = field(repr=False)
    """The histogram as the file has it."""

    def latencies(self) -> LatencyHistogram:
        """Return the measured latencies, empty if the file has none; ConfigError if unreadable."""
        if self.encoded_latencies is None:
            return LatencyHistogram.empty()
        return LatencyHistogram.decode(self.encoded_latencies)

    @property
    def lacks_autobatching(self) -> bool:
        """Whether the file lacks the BATCHSIZE of the model, which may have one, as in RedisAI."""
        is_redisai = self.server is None or self.server.kind in REDISAI_KINDS
        return self.cell.autobatching < 0 and is_redisai

    @property
    def is_doubtful(self) -> bool:
        """Whether the client may have set the figures."""
        return self.verdict is not None and not self.verdict.startswith(Verdict.SERVER_BOUND)

    @property
    def failed(self) -> int:
        """How many requests failed."""
        return sum(count for count, _ in self.failures.values())

    @property
    def cpu_ms_an_inference(self) -> float | None:
        """The server's CPU time for an inference; None if unknown."""
        cores, rate = self.server_use.cores, self.inferences_per_s_with_burn_in
        return cores / rate * 1000 if cores is not None and rate else None

    def quantile_ms(self, name: str) -> float | None:
        """Return a quantile; None if the file lacks it or has too few requests for it."""
        if self.successes is not None and not is_known(QUANTILES.get(name, 0.0), self.successes):
            return None
        return self.quantiles_ms.get(name)

    def row(self) -> dict[str, Any]:
        """Return the run as a row of a table."""
        return {
            "file": self.path.name,
            "client": self.client,
            **self.cell.values,
            "inferences_per_s": self.inferences_per_s,
            **{f"{name}_ms": self.quantile_ms(name) for name in QUANTILES},
            "requests": self.requests,
            "failed": self.failed,
            "interrupted": self.interrupted,
            "start_unix_ms": self.start_unix_ms,
            "duration_s": self.duration_s,
            "model": self.model,
            "server": self.server and self.server.kind,
            "server_version": self.server and self.server.version,
            "server_cores": self.server_use.cores,
            "server_memory_bytes": self.server_use.memory_bytes,
            **stream_columns(self.stream or {}),
        }

    @property
    def setup(self) -> dict[str, str | None]:
        """Facts that have to be equal for runs to be comparable; None if unknown."""
        known: dict[str, object] = {
            "client": self.client,
            "server": self.server and self.server.kind,
            "server version": self.server and self.server.version,
            "model": self.model,
            "request": self.query_label,
            "tensor": self.tensor,
            "client threads": self.threads,
            "pipeline": self.pipeline,
            "servers": self.servers,
            "latency": None if self.arrivals == CLOSED_LOOP else self.latency,
            "arrivals": self.arrivals,
            "shared memory": self.facts.get("SharedMemory", "none"),
            "tokens from": (self.stream or {}).get("TokensFrom", "none"),
            **{name: self.facts.get(name) for name in _SETUP_FACTS},
        }
        if self.facts.get("StringsAre") == "prompts" and self.data_file is None:
            del known["DataDigest"]  # each run of a study draws others
        return {name: None if value is None else fact_text(value) for name, value in known.items()}
