"""What a run is asked to do; every setting is checked here, before anything native starts."""

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path

from aibench_fast import tensortype
from aibench_fast.errors import ConfigError
from aibench_fast.load.kinds import IMAGE_SHAPE, InputTensor, RequestKind, check_weights
from aibench_fast.load.profile import Step
from aibench_fast.load.share import Share
from aibench_fast.protocols.address import HttpAddress, ServerAddress, http_address
from aibench_fast.protocols.openinference.encoding import Encoding
from aibench_fast.protocols.redisai.cluster import check_name
from aibench_fast.protocols.redisai.commands import Dialect
from aibench_fast.protocols.tls import TlsSettings

MAX_WORKERS = 100_000
MAX_OUTSTANDING = 1_000_000
"""Requests of all workers."""
LEAST_PATIENCE_S = 10.0
"""For what a server is asked before the run, which may come at a busy moment."""
MAX_COUNT = 2**62
MAX_SECONDS = 366 * 24 * 3600
LARGE_REQUEST_BYTES = 256 << 10
THREADS_A_CORE_LARGE = 8
MIN_RPS, MAX_RPS = 0.001, 1_000_000
MIN_PERIOD_S = 0.01
DEFAULT_JSON_BYTES = 512 << 20
DEFAULT_MODEL = "mobilenet_v1_100_224_cpu"
ARRIVALS = ("even", "poisson")
ON_LAG = ("stop", "shed")
ON_DISCONNECT = ("reconnect", "stop")


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def available_cpus(quota: float | None) -> float:
    """How many cores' time this process may use, under a quota of so many CPUs or without one."""
    return available_cores() if quota is None else min(available_cores(), quota)


def default_threads(workers: int, request_bytes: int) -> int:
    """How many I/O threads drive so many workers: one a core, and of large requests eight.

    While the kernel copies a large request, its thread can take no other's reply.
    docs/performance.md has the measurement.
    """
    large = request_bytes >= LARGE_REQUEST_BYTES
    return min(workers, available_cores() * (THREADS_A_CORE_LARGE if large else 1))


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run: which tensors go to which model of which server, how, and for how long.

    Raises ConfigError where the settings cannot be run.
    """

    file: Path | None
    """The tensor file: tensors of `shape` and `dtype`, one after another; None: generated ones."""
    shape: tuple[int, ...] = ()
    """Of one tensor, without the batch; empty: 224 x 224 x 3, or with `url` what the model says."""
    dtype: str = ""
    """The type of the tensors' values, one of tensortype.DTYPES; empty: FLOAT, or as above."""
    inputs: tuple[InputTensor, ...] = ()
    """Of a model with several, instead of `file`, `shape` and `dtype`, which its first one sets."""
    address: ServerAddress = field(default_factory=ServerAddress)
    url: str | None = None
    """Of a server of the Open Inference Protocol, such as http://localhost:8000; it wins over
    `address`."""
    others: tuple[ServerAddress | str, ...] = ()
    """Further servers: URLs with a `url`, addresses else. Workers are spread evenly over all, and
    there is at least one for each."""
    all_addresses: bool = False
    """A name that stands for several addresses is that many servers."""
    cluster_mode: bool = False
    """`address` and `others` are nodes of a Redis Cluster, whose primaries are the servers."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """With `url`: what every request has beside the protocol's own; they may be secret."""
    metrics_url: str | None = None
    """With `url`: where it tells Prometheus of itself; None: looked for where such servers do."""
    tls: TlsSettings | None = None
    """With a `url` of https: None stands for the usual ones. RedisAI's are in `address`."""
    model_version: str | None = None
    """With `url`; None: the server's choice."""
    outputs: tuple[str, ...] = ()
    """The outputs that are asked for, by name, or of RedisAI also by number from 1; empty: all."""
    encoding: Encoding | None = None
    """With `url`: how tensors are sent; None: binary, or JSON where the server takes no other."""
    json_memory_bytes: int = DEFAULT_JSON_BYTES
    """The most memory that tensors formatted as JSON, and requests with strings, may take; of more
    of them the first that fit are sent again and again."""
    server_pid: int | None = None
    """The server's process where we started it: what it uses is read by period."""
    server_name: str | None = None
    """What results call the server, where several are compared."""
    servers_meanwhile: tuple[str, ...] = ()
    """Others of them that may be running on this machine meanwhile."""
    model: str = DEFAULT_MODEL
    workers: int = 1
    """Closed loops, each on a connection of its own."""
    threads: int | None = None
    """Native I/O threads; None: as many as `io_threads` says."""
    pipeline: int = 1
    """Requests outstanding on each connection, each with a latency of its own."""
    batch_size: int = 1
    """Tensors a request, sent as one with the batch before its shape."""
    use_dag: bool = False
    """Send a request as one DAG, not as three commands."""
    persist_results: bool = False
    """Leave the outputs in the server; of a DAG, store them there."""
    dialect: Dialect | None = Dialect.MODELRUN
    """The family of commands; None: the newest that the server knows."""
    timeout_ms: int | None = None
    """The server's own limit on the time that a request waits in its queue."""
    reference_file: Path | None = None
    """Float32 outputs, one for each tensor of the file; every output is compared with its own."""
    tolerance: float = 1e-4
    """How far an output's value may be from the reference's."""
    burn_in: int = 0
    """Requests, the first ones, that count in no figure."""
    burn_in_s: float = 0.0
    """The same as a time, in seconds."""
    burn_in_until_steady: bool = False
    """The same until rate and median latency of its last windows agree."""
    max_queries: int = 0
    """Tensors to send, of a mix requests, burn-in included; they are cycled. 0: no limit where a
    duration, a profile or recorded arrivals say how much; otherwise each once."""
    limit_rps: float = 0.0
    """Requests a second of all workers; 0: no limit, a closed loop unless the next two say else."""
    profile: tuple[Step, ...] = ()
    """How the rate goes over time, in steps and ramps; the run ends with it."""
    arrivals_file: Path | None = None
    """When each request is due, as recorded; the run ends with them."""
    arrivals: str = "even"
    """How requests are spread by a rate: `even`, or `poisson`, drawn from `seed`."""
    max_lag_s: float = 0.0
    """How late a request may start by the schedule; 0: however late."""
    on_lag: str = "stop"
    """What becomes of one that would be later: `stop` ends the run, `shed` leaves it out."""
    duration_s: float = 0.0
    """How long to measure after the burn-in, in seconds; 0: no limit."""
    continue_on_error: bool = True
    """False: the first failure stops the run."""
    reporting_period_s: float = 1.0
    reply_timeout_s: float = 90.0
    """How long the client waits for a request's last reply."""
    connect_timeout_s: float = 5.0
    on_disconnect: str = "reconnect"
    """What becomes of a lost connection: `reconnect` makes another, `stop` ends the run."""
    reconnect_for_s: float = 30.0
    """How long a worker tries to; then it ends."""
    sample_responses: bool = False
    """Take a sample of the replies once a reporting period."""
    interval_latencies: bool = False
    """Tell the observer of every reporting period's own latencies."""
    results_so_far: bool = False
    """Tell the observer of the result up to the end of every reporting period, for a journal."""
    live_readings: bool = False
    """Tell the observer some times a second what a live view shows."""
    reset_stats: bool = False
    """Set the server's statistics to 0 before the run, for everyone who reads them."""
    mix: tuple[RequestKind, ...] = ()
    """Several kinds of request instead of the one of `file`, `shape`, `dtype`, `model` and
    `batch_size`, drawn by their weights from `seed`."""
    metadata_autobatching: int = -1
    """The model's batch size on the server, for the result alone; -1: as RedisAI tells it."""
    command_line: str | None = None
    """What was typed to have this run, for the result alone."""
    share: Share | None = None
    """Of one client of several: which requests it sends. Workers and threads are its own, and all
    else is of the whole run. See `clients.split`."""
    seed: int = 0
    """What generated tensors and Poisson arrivals are drawn from. With a file it chooses which
    tensor is sent first; 0: the file's first."""

    def __post_init__(self) -> None:
        """Check what can be checked without the file or the server."""
        if self.inputs:
            object.__setattr__(self, "shape", self.inputs[0].shape)
            object.__setattr__(self, "dtype", self.inputs[0].dtype)
        elif self.url is None:
            object.__setattr__(self, "shape", self.shape or IMAGE_SHAPE)
            object.__setattr__(self, "dtype", self.dtype or "FLOAT")
        self._check_protocol()
        self._check_kinds()
        _within("--workers", self.workers, 1, MAX_WORKERS)
        _within("--pipeline", self.pipeline, 1, MAX_OUTSTANDING // self.workers)
        _within("--burn-in", self.burn_in, 0, MAX_COUNT)
        _within("--max-queries", self.max_queries, 0, MAX_COUNT)
        _within("--seed", self.seed, 0, MAX_COUNT)
        _within("--json-memory", self.json_memory_bytes, 1, MAX_COUNT)
        if self.timeout_ms is not None:
            _within("--timeout-ms", self.timeout_ms, 1, MAX_COUNT)
        if not self.tolerance >= 0:
            raise ConfigError(f"--tolerance {self.tolerance}: it has to be 0 or more")
        if self.threads is not None:
            _within("--threads", self.threads, 1, MAX_WORKERS)
            if self.threads > self.workers:
                raise ConfigError(
                    f"--threads {self.threads} with --workers {self.workers}: a thread drives at "
                    "least one worker, so ask for as many workers or fewer threads"
                )
        self._check_schedule()
        self._check_burn_in()
        _seconds("--burn-in", self.burn_in_s, or_zero=True)
        _seconds("--duration", self.duration_s, or_zero=True)
        _seconds("--reporting-period", self.reporting_period_s, least=MIN_PERIOD_S)
        _seconds("--dial-read-timeout", self.reply_timeout_s)
        _seconds("connect_timeout_s", self.connect_timeout_s)
        _seconds("--reconnect-for", self.reconnect_for_s, or_zero=True)
        if self.on_disconnect not in ON_DISCONNECT:
            raise ConfigError(
                f"--on-disconnect {self.on_disconnect}: it has to be {' or '.join(ON_DISCONNECT)}"
            )

    def _check_burn_in(self) -> None:
        if bool(self.burn_in) + bool(self.burn_in_s) + self.burn_in_until_steady > 1:
            raise ConfigError("--burn-in is a number of requests, a time or auto: give one")
        if self.burn_in_until_steady:
            if self.profile or self.arrivals_file:
                raise ConfigError(
                    "--burn-in auto with --profile or --arrivals-file: their rate has no steady "
                    "state; give requests or a time"
                )
            if self.max_queries or not self.duration_s:
                raise ConfigError(
                    "--burn-in auto: it is not known how many requests it takes; give --duration "
                    "and no --max-queries"
                )

    def _check_schedule(self) -> None:
        if self.limit_rps and not MIN_RPS <= self.limit_rps <= MAX_RPS:
            raise ConfigError(
                f"--limit-rps {self.limit_rps:g}: it has to be 0 (no limit), or from {MIN_RPS} "
                f"to {MAX_RPS}"
            )
        for step in self.profile:
            if max(step.from_per_s, step.to_per_s) > MAX_RPS:
                raise ConfigError(f"--profile: {step} is above {MAX_RPS} requests a second")
        given = {
            "--limit-rps": bool(self.limit_rps),
            "--profile": bool(self.profile),
            "--arrivals-file": self.arrivals_file is not None,
        }
        named = [name for name, is_given in given.items() if is_given]
        if len(named) > 1:
            raise ConfigError(f"{' and '.join(named)}: each says when requests are due; give one")
        if self.arrivals not in ARRIVALS:
            raise ConfigError(f"--arrivals {self.arrivals}: it has to be {' or '.join(ARRIVALS)}")
        if self.arrivals != "even" and not (self.limit_rps or self.profile):
            raise ConfigError(
                f"--arrivals {self.arrivals} without a rate: give --limit-rps or --profile"
            )
        if self.on_lag not in ON_LAG:
            raise ConfigError(f"--on-lag {self.on_lag}: it has to be {' or '.join(ON_LAG)}")
        _seconds("--max-lag", self.max_lag_s, or_zero=True)
        if self.on_lag != "stop" and not self.max_lag_s:
            raise ConfigError(
                f"--on-lag {self.on_lag} without --max-lag: nothing is too late without it"
            )
        if self.max_lag_s and not named:
            raise ConfigError(
                "--max-lag without --limit-rps, --profile or --arrivals-file: in a closed loop "
                "nothing is ever late"
            )
        if self.pipeline > 1 and named:
            raise ConfigError(
                f"--pipeline {self.pipeline} with {named[0]}: a worker that waits for when a "
                "request is due has one at a time; ask for more workers"
            )

    def _check_protocol(self) -> None:
        redisai = {
            "--use-dag": self.use_dag,
            "--persist-results": self.persist_results,
            "--dialect": self.dialect is not Dialect.MODELRUN,
            "--timeout-ms": self.timeout_ms is not None,
            "--reset-stats": self.reset_stats,
            "--pipeline": self.pipeline > 1,
            "--cluster-mode": self.cluster_mode,
        }
        http = {
            "--header": bool(self.headers),
            "--metrics-url": self.metrics_url is not None,
            "--model-version": self.model_version is not None,
            "--encoding": self.encoding is not None,
            "--json-memory": self.json_memory_bytes != DEFAULT_JSON_BYTES
            and not any(kind.has_strings for kind in self.kinds),
        }
        if self.url is None:
            if self.tls:
                raise ConfigError("tls without url: RedisAI's is in its address")
            given = [name for name, is_given in http.items() if is_given]
            if given:
                raise ConfigError(f"{given[0]} without --url: RedisAI knows nothing of the kind")
            self._check_servers()
            return
        given = [name for name, is_given in redisai.items() if is_given]
        if given:
            raise ConfigError(f"{given[0]} with --url: the Open Inference Protocol has none")
        self.http_addresses, self.metrics_address  # noqa: B018  they are read: a wrong one shows
        if self.others and self.metrics_url is not None:
            raise ConfigError("--metrics-url with several servers: each has its own")

    def _check_servers(self) -> None:
        sockets = [one for one in self.addresses if one.socket]
        if self.cluster_mode:
            for model in self.models:
                check_name(model)
            if sockets:
                raise ConfigError("--cluster-mode with --socket: a cluster's nodes have ports")
        if self.all_addresses and (sockets or self.cluster_mode):
            given = "--socket" if sockets else "--cluster-mode"
            raise ConfigError(f"--all-addresses with {given}: there is no name to look up")

    @property
    def http_address(self) -> HttpAddress | None:
        """The server of `url`; None where that is not given, ConfigError where it is wrong."""
        return None if self.url is None else http_address(self.url, self.headers, self.tls)

    @property
    def http_addresses(self) -> list[HttpAddress]:
        """All servers of URLs; empty where there are none, ConfigError where one is wrong."""
        urls = [] if self.url is None else [self.url, *map(str, self.others)]
        return [http_address(url, self.headers, self.tls) for url in urls]

    @property
    def addresses(self) -> list[ServerAddress]:
        """All servers that are not of a URL."""
        return [self.address, *(one for one in self.others if isinstance(one, ServerAddress))]

    @property
    def spoken_tls(self) -> TlsSettings | None:
        """How TLS is spoken with the server; None where it is not."""
        return (self.http_address or self.address).tls

    @property
    def metrics_address(self) -> HttpAddress | None:
        """The same of `metrics_url`; the headers are the server's alone, and may be secret."""
        server = self.http_address
        if server is None or self.metrics_url is None:
            return None
        tls = self.tls if self.metrics_url.startswith("https:") else None
        address = http_address(self.metrics_url, tls=tls, option="--metrics-url")
        is_the_same = address.authority == server.authority
        return dataclasses.replace(address, headers=server.headers) if is_the_same else address

    @property
    def is_resolved(self) -> bool:
        """Whether shapes and dtypes are all known; with `url` the model may have to be asked."""
        return all(one.shape and one.dtype for kind in self.kinds for one in kind.inputs)

    def _check_kinds(self) -> None:
        for kind in self.kinds if self.is_resolved else ():
            kind.check("--")
            if self.url is None:
                for one in kind.inputs:
                    if one.dtype not in tensortype.REDISAI_DTYPES and not one.is_strings:
                        known = ", ".join([*tensortype.REDISAI_DTYPES, "STRING"])
                        raise ConfigError(f"--dtype {one.dtype}: RedisAI has {known}")
        if self.mix:
            check_weights(self.mix, "--mix: ")
        if self.inputs and (self.file is not None or self.mix):
            raise ConfigError("--input with --file or --mix: it says which tensors are sent")
        if self.mix and (self.file is not None or self.batch_size != 1):
            given = "--file" if self.file else "--batch-size"
            raise ConfigError(f"--mix with {given}: the mix says which tensors are sent")
        if self.mix and self.reference_file is not None:
            raise ConfigError("--mix with --verify: references are of one kind of request")
        if self.data_file is None and self.reference_file is not None:
            raise ConfigError(
                f"--verify {self.reference_file} without --file: references belong to the tensors "
                "of a file; give it, or leave out --verify"
            )

    @property
    def patience_s(self) -> float:
        """How long an answer before the run is waited for, but the one of a trial request."""
        return max(LEAST_PATIENCE_S, self.reply_timeout_s)

    @property
    def is_open_loop(self) -> bool:
        """Whether requests are due at times that no answer moves."""
        return bool(self.limit_rps or self.profile or self.arrivals_file)

    @property
    def is_first_client(self) -> bool:
        """Whether what is done once a run is this client's to do."""
        return self.share is None or self.share.is_first

    @property
    def peak_rps(self) -> float:
        """The highest rate that is asked for; 0 where none is."""
        rates = (rate for step in self.profile for rate in (step.from_per_s, step.to_per_s))
        return max(self.limit_rps, *rates) if self.profile else self.limit_rps

    @property
    def io_threads(self) -> int:
        """How many native I/O threads drive the workers."""
        largest_bytes = max(kind.request_bytes for kind in self.kinds)
        return self.threads or default_threads(self.workers, largest_bytes)

    @property
    def kinds(self) -> tuple[RequestKind, ...]:
        """The kinds of request that are sent: of the mix, or the one."""
        one = InputTensor(self.file, self.shape, self.dtype)
        return self.mix or (RequestKind(self.model, self.inputs or (one,), self.batch_size),)

    @property
    def models(self) -> list[str]:
        """The models that are asked, each once."""
        return list(dict.fromkeys(kind.model for kind in self.kinds))

    @property
    def data_file(self) -> str | None:
        """The tensor file as results name it; None where tensors are generated."""
        file = None if self.mix else self.kinds[0].inputs[0].file
        return None if file is None else str(file)

    @property
    def data_seed(self) -> int | None:
        """What generated tensors are drawn from; None where all come from files."""
        generated = any(one.file is None for kind in self.kinds for one in kind.inputs)
        return self.seed if generated else None

    @property
    def tensor_bytes(self) -> int:
        """The size of one tensor, without the batch, in bytes."""
        return tensortype.tensor_bytes(self.shape, self.dtype)

    @property
    def measured_s(self) -> float | None:
        """How long a run measures, where that is settled beforehand."""
        return self.duration_s or sum(step.duration_s for step in self.profile) or None

    def count_tensors(self) -> list[int]:
        """How many tensors each kind has: those of its files, which are looked into, or generated.

        ConfigError where one is no tensor file, or where the burn-in leaves nothing to measure.
        """
        counts = [kind.count_tensors() for kind in self.kinds]
        self.max_requests(counts[0])
        return counts

    def max_requests(self, tensor_count: int) -> int:
        """How many requests to send of `tensor_count` tensors; 0: no limit.

        ConfigError where the burn-in leaves nothing to measure.
        """
        if self.max_queries == 0 and (self.duration_s or self.profile or self.arrivals_file):
            return 0
        if self.mix:
            if not self.max_queries > self.burn_in:
                raise ConfigError(
                    "--mix has no one pass of its tensors: give --duration, or more --max-queries "
                    f"than the {self.burn_in} of the burn-in"
                )
            return self.max_queries
        tensors = self.max_queries or tensor_count
        requests = -(-tensors // self.batch_size)
        if self.burn_in >= requests:
            asked = "--max-queries" if self.max_queries else "one pass of the tensors"
            raise ConfigError(
                f"--burn-in {self.burn_in} requests, but {asked} is {tensors} tensors, "
                f"{requests} requests of {self.batch_size}: nothing would be left to measure"
            )
        return requests


def _within(option: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ConfigError(f"{option} {value}: it has to be from {least} to {most}")


def _seconds(option: str, value: float, *, least: float = 1e-6, or_zero: bool = False) -> None:
    if not (least <= value <= MAX_SECONDS or (or_zero and value == 0)):
        raise ConfigError(f"{option} {value:g} s: it has to be from {least:g} to {MAX_SECONDS} s")
