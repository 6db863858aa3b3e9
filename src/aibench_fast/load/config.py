"""The settings of a run; they are checked here, before anything native starts."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aibench_fast import tensortype
from aibench_fast.coretypes import Share
from aibench_fast.errors import ConfigError
from aibench_fast.load.kinds import (
    BODY_SHAPE,
    IMAGE_SHAPE,
    MAX_KINDS,
    InputTensor,
    RequestKind,
    body_input,
    check_weights,
)
from aibench_fast.load.profile import Step
from aibench_fast.protocols.protocol import ServerProtocol
from aibench_fast.protocols.registry import ProtocolSettings, no_such_setting, protocol_of
from aibench_fast.protocols.settings import MAX_COUNT, check_within

MAX_WORKERS = 100_000
MAX_OUTSTANDING = 1_000_000
"""Requests of all workers."""
MAX_SECONDS = 366 * 24 * 3600
LARGE_REQUEST_BYTES = 256 << 10
THREADS_A_CORE_LARGE = 8
WORKERS_A_THREAD = 64
"""One thread sends as much as two cores do that the server shares, for less CPU time a request."""
STREAMS_A_THREAD = 1024
"""A thread read 180,000 tokens a second of 1,000 streams with 70 % of a core. More threads than
needed cost CPU time on each token."""
MIN_RPS, MAX_RPS = 0.001, 1_000_000
MIN_PERIOD_S = 0.01
DEFAULT_JSON_BYTES = 512 << 20
DEFAULT_MODEL = "mobilenet_v1_100_224_cpu"
ARRIVALS = ("even", "poisson")
ON_LAG = ("stop", "shed")
ON_DISCONNECT = ("reconnect", "stop")


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def available_cpus(quota: float | None) -> float:
    """Return how many CPUs' time this process may use, under a quota of CPUs if there is one."""
    return available_cores() if quota is None else min(available_cores(), quota)


def default_threads(workers: int, request_bytes: int, a_thread: int = WORKERS_A_THREAD) -> int:
    """Return how many I/O threads drive so many workers: at most one a core, or eight.

    The latter is for large requests: while the kernel copies one, its thread takes no other's
    reply. docs/performance.md has the measurement.
    """
    if request_bytes >= LARGE_REQUEST_BYTES:
        return min(workers, available_cores() * THREADS_A_CORE_LARGE)
    return min(-(-workers // a_thread), available_cores())


@dataclass(frozen=True, kw_only=True)
class RunConfig(ProtocolSettings):
    """One run: which tensors go to which model of which server, how, and for how long.

    Raises ConfigError if the settings do not make a run.
    """

    file: Path | None
    """The tensor file: tensors of `shape` and `dtype`, one after another; None: generate them."""
    shape: tuple[int, ...] = ()
    """Of one tensor, without the batch; empty: 224 x 224 x 3, or with `url` the model's."""
    dtype: str = ""
    """The type of the values, one of tensortype.DTYPES; empty: FLOAT, or with `url` the model's."""
    inputs: tuple[InputTensor, ...] = ()
    """The inputs of a model with several, instead of `file`, `shape` and `dtype`, which the first
    one sets."""
    json_memory_bytes: int = DEFAULT_JSON_BYTES
    """Memory limit for tensors formatted as JSON and requests with strings; if not all fit, the
    first that do are sent again and again."""
    server_pid: int | None = None
    """The server's process, if this program started it: its CPU and memory are read by period."""
    server_name: str | None = None
    """The server's name in results, if several are compared."""
    servers_meanwhile: tuple[str, ...] = ()
    """The other servers that may be running on this machine meanwhile."""
    model: str = DEFAULT_MODEL
    workers: int = 1
    """Closed loops, each on a connection of its own."""
    threads: int | None = None
    """Native I/O threads; None: as many as `io_threads` says."""
    pipeline: int = 1
    """Requests outstanding on each connection, each with a latency of its own."""
    batch_size: int = 1
    """Tensors per request, sent as one with the batch before its shape."""
    reference_file: Path | None = None
    """Float32 outputs, one for each tensor of the file, to compare each output with."""
    tolerance: float = 1e-4
    """The largest difference between an output's value and the reference's."""
    burn_in: int = 0
    """Warm-up: this many requests at the start are excluded from every figure."""
    burn_in_s: float = 0.0
    """Warm-up as a time, in seconds."""
    burn_in_until_steady: bool = False
    """Warm-up until the rate and the median latency are steady."""
    max_queries: int = 0
    """Tensors to send, or requests of a mix, warm-up included; tensors are cycled. 0: no limit if a
    duration, a profile or recorded arrivals end the run; otherwise each tensor once."""
    limit_rps: float = 0.0
    """Requests per second of all workers; 0: no limit, and a closed loop without the next two."""
    profile: tuple[Step, ...] = ()
    """The rate over time, in steps and ramps; the run ends with it."""
    arrivals_file: Path | None = None
    """When each request is due, as recorded; the run ends with them."""
    arrivals: str = "even"
    """How requests are spread by a rate: `even`, or `poisson`, drawn from `seed`."""
    max_lag_s: float = 0.0
    """How late a request may start by the schedule; 0: no limit."""
    on_lag: str = "stop"
    """With a request that would be later: `stop` the run, or `shed` the request."""
    duration_s: float = 0.0
    """How long to measure after the warm-up, in seconds; 0: no limit."""
    continue_on_error: bool = True
    """False: the first failure stops the run."""
    reporting_period_s: float = 1.0
    connect_timeout_s: float = 5.0
    on_disconnect: str = "reconnect"
    """When a connection is lost: `reconnect`, or `stop` the run."""
    reconnect_for_s: float = 30.0
    """How long a worker tries to reconnect before it ends."""
    sample_responses: bool = False
    """Take a sample of the replies once per reporting period."""
    interval_latencies: bool = False
    """Send each reporting period's own latencies to the observer."""
    results_so_far: bool = False
    """Send the result so far to the observer at the end of each reporting period, for a journal."""
    live_readings: bool = False
    """Send the observer what a live view shows, some times per second."""
    mix: tuple[RequestKind, ...] = ()
    """Several kinds of request instead of the one of `file`, `shape`, `dtype`, `model` and
    `batch_size`, drawn by their weights from `seed`."""
    metadata_autobatching: int = -1
    """The model's batch size on the server, for the result alone; -1: as RedisAI reports it."""
    command_line: str | None = None
    """The command that was typed, for the result alone."""
    share: Share | None = None
    """Which requests this client sends, if it is one of several. Workers and threads are its own,
    and everything else is of the whole run. See `clients.split`."""
    seed: int = 0
    """The seed of generated tensors and Poisson arrivals. With a file it chooses which tensor is
    sent first; 0: the file's first."""

    def __post_init__(self) -> None:
        """Check what can be checked without the file or the server."""
        protocol = self.protocol
        if protocol.body:
            self._check_bodies()
        elif self.inputs:
            object.__setattr__(self, "shape", self.inputs[0].shape)
            object.__setattr__(self, "dtype", self.inputs[0].dtype)
        elif not protocol.describes_inputs:
            object.__setattr__(self, "shape", self.shape or IMAGE_SHAPE)
            object.__setattr__(self, "dtype", self.dtype or "FLOAT")
        for kind in self.kinds if self.is_resolved else ():
            kind.check()
        protocol.check(self.kinds)
        self._check_tensors()
        self._check_workers()
        self._check_schedule()
        self._check_burn_in()
        check_within("max_queries", self.max_queries, 0, MAX_COUNT)
        check_within("seed", self.seed, 0, MAX_COUNT)
        self._check_seconds("duration_s", or_zero=True)
        self._check_seconds("reporting_period_s", least=MIN_PERIOD_S)
        for setting in ("reply_timeout_s", "connect_timeout_s"):
            self._check_seconds(setting)
        for setting in ("first_token_timeout_s", "token_timeout_s", "reconnect_for_s"):
            self._check_seconds(setting, or_zero=True)
        self._check_choice("on_disconnect", ON_DISCONNECT)

    def _check_bodies(self) -> None:
        protocol = self.protocol
        usual: dict[str, Any] = {
            "file": None, "shape": BODY_SHAPE, "dtype": tensortype.STRINGS, "inputs": (),
        }  # fmt: skip
        if protocol.streams_tokens:
            usual["model"] = "" if self.model == DEFAULT_MODEL else self.model
            what = f"the `url` of {protocol.name}: prompts are sent there"
        else:  # in results its model is where bodies are sent
            usual |= {"mix": (), "model": protocol.targets[0]}
            what = "`body` or `method`: a body is sent as it lies"
        for setting, value in usual.items():
            if getattr(self, setting) not in (getattr(RunConfig, setting, None), value):
                raise ConfigError(f"`{setting}` with {what}")
            object.__setattr__(self, setting, value)
        own = protocol.body["file"] or protocol.body.get("drawn")
        if protocol.streams_tokens and not (self.mix or own):
            raise ConfigError(
                f"`url` of {protocol.name} without prompts: give `prompts` or `prompt_tokens`"
            )
        if self.mix and own:
            raise ConfigError("`mix` with `prompts` or `prompt_tokens`: the mix says what is sent")

    def _check_tensors(self) -> None:
        if self.mix:
            check_weights(self.mix, "`mix`: ")
            inputs = [one for kind in self.mix for one in kind.inputs]
            if any(one.is_body != self.protocol.streams_tokens for one in inputs):
                raise ConfigError(
                    "`mix`: prompts are for the `url` of OpenAI's API, and nothing else is sent "
                    "there"
                )
        if self.inputs and (self.file is not None or self.mix):
            raise ConfigError("`inputs` with `file` or `mix`: it says which tensors are sent")
        if self.mix and (self.file is not None or self.batch_size != 1):
            given = "file" if self.file else "batch_size"
            raise ConfigError(f"`mix` with `{given}`: the mix says which tensors are sent")
        if self.mix and self.reference_file is not None:
            raise ConfigError("`mix` with `reference_file`: references are of one kind of request")
        if self.data_file is None and self.reference_file is not None:
            raise ConfigError(
                f"`reference_file` {self.reference_file} without `file`: references belong to the "
                "tensors of a file; give it, or leave out `reference_file`"
            )
        if not self.tolerance >= 0:
            raise ConfigError(f"`tolerance` {self.tolerance}: it has to be 0 or more")
        check_within("json_memory_bytes", self.json_memory_bytes, 1, MAX_COUNT)
        is_of_use = self.protocol.has_json or any(kind.has_strings for kind in self.kinds)
        if self.json_memory_bytes != DEFAULT_JSON_BYTES and not is_of_use:
            raise no_such_setting("json_memory_bytes", self, self.protocol.name)

    def _check_workers(self) -> None:
        check_within("workers", self.workers, 1, MAX_WORKERS)
        check_within("pipeline", self.pipeline, 1, MAX_OUTSTANDING // self.workers)
        if self.pipeline > 1 and not self.protocol.has_pipelines:
            raise no_such_setting("pipeline", self, self.protocol.name)
        if self.threads is not None:
            check_within("threads", self.threads, 1, MAX_WORKERS)
            if self.threads > self.workers:
                raise ConfigError(
                    f"`threads` {self.threads} with `workers` {self.workers}: a thread drives at "
                    "least one worker, so ask for as many workers or fewer threads"
                )

    def _check_burn_in(self) -> None:
        check_within("burn_in", self.burn_in, 0, MAX_COUNT)
        self._check_seconds("burn_in_s", or_zero=True)
        if bool(self.burn_in) + bool(self.burn_in_s) + self.burn_in_until_steady > 1:
            raise ConfigError("`burn_in`, `burn_in_s` and `burn_in_until_steady`: give one of them")
        if self.burn_in_until_steady:
            if self.profile or self.is_recorded:
                raise ConfigError(
                    "`burn_in_until_steady` with `profile`, `arrivals_file` or `trace`: their rate "
                    "has no steady state; give requests or a time"
                )
            if self.max_queries or not self.duration_s:
                raise ConfigError(
                    "`burn_in_until_steady`: it is not known how many requests it takes; give "
                    "`duration_s` and no `max_queries`"
                )

    def _check_schedule(self) -> None:
        if self.limit_rps and not MIN_RPS <= self.limit_rps <= MAX_RPS:
            raise ConfigError(
                f"`limit_rps` {self.limit_rps:g}: it has to be 0 (no limit), or from {MIN_RPS} "
                f"to {MAX_RPS}"
            )
        for step in self.profile:
            if max(step.from_per_s, step.to_per_s) > MAX_RPS:
                raise ConfigError(f"`profile`: {step} is above {MAX_RPS} requests a second")
        schedules = ("limit_rps", "profile", "arrivals_file", "trace")
        named = [f"`{setting}`" for setting in schedules if getattr(self, setting)]
        if len(named) > 1:
            raise ConfigError(f"{' and '.join(named)}: each says when requests are due; give one")
        self._check_choice("arrivals", ARRIVALS)
        if self.arrivals != "even" and not (self.limit_rps or self.profile):
            raise ConfigError(
                f"`arrivals` {self.arrivals} without a rate: give `limit_rps` or `profile`"
            )
        self._check_choice("on_lag", ON_LAG)
        self._check_seconds("max_lag_s", or_zero=True)
        if self.on_lag != "stop" and not self.max_lag_s:
            raise ConfigError(
                f"`on_lag` {self.on_lag} without `max_lag_s`: nothing is too late without it"
            )
        if self.max_lag_s and not named:
            raise ConfigError(
                "`max_lag_s` without `limit_rps`, `profile`, `arrivals_file` or `trace`: in a "
                "closed loop nothing is ever late"
            )
        if self.pipeline > 1 and named:
            raise ConfigError(
                f"`pipeline` {self.pipeline} with {named[0]}: a worker that waits for when a "
                "request is due has one at a time; ask for more workers"
            )

    def _check_choice(self, setting: str, known: Sequence[str]) -> None:
        value = getattr(self, setting)
        if value not in known:
            raise ConfigError(f"`{setting}` {value}: it has to be {' or '.join(known)}")

    def _check_seconds(self, setting: str, *, least: float = 1e-6, or_zero: bool = False) -> None:
        value = getattr(self, setting)
        if not (least <= value <= MAX_SECONDS or (or_zero and value == 0)):
            raise ConfigError(
                f"`{setting}` {value:g} s: it has to be from {least:g} to {MAX_SECONDS} s"
            )

    @property
    def protocol(self) -> ServerProtocol:
        """Return the servers' protocol; ConfigError if it does not have a setting that is given."""
        return protocol_of(self)

    @property
    def is_resolved(self) -> bool:
        """Return whether all shapes and dtypes are known; with `url` the server may have to say."""
        if self.protocol.streams_tokens:
            return all(kind.model for kind in self.kinds)
        return all(one.shape and one.dtype for kind in self.kinds for one in kind.inputs)

    @property
    def is_open_loop(self) -> bool:
        """Return whether requests are due at times that do not depend on replies."""
        return bool(self.limit_rps or self.profile or self.is_recorded)

    @property
    def is_recorded(self) -> bool:
        """Return whether a file says when each request is due."""
        return self.arrivals_file is not None or self.trace is not None

    @property
    def is_first_client(self) -> bool:
        """Return whether this client does what is done once for a run."""
        return self.share is None or self.share.client == 0

    @property
    def peak_rps(self) -> float:
        """Return the highest rate in requests per second; 0 without a rate."""
        rates = (rate for step in self.profile for rate in (step.from_per_s, step.to_per_s))
        return max(self.limit_rps, *rates) if self.profile else self.limit_rps

    @property
    def io_threads(self) -> int:
        """Return how many native I/O threads drive the workers."""
        if self.threads:
            return self.threads
        if self.protocol.streams_tokens:
            return default_threads(self.workers, 0, STREAMS_A_THREAD)
        return default_threads(self.workers, max(kind.request_bytes for kind in self.kinds))

    @property
    def kinds(self) -> tuple[RequestKind, ...]:
        """Return the kinds of request that are sent: of the mix, or the one."""
        if self.mix:
            return self.mix
        one = InputTensor(self.file, self.shape, self.dtype)
        if body := self.protocol.body:
            one = body_input(**body)
        return (RequestKind(self.model, self.inputs or (one,), self.batch_size),)

    @property
    def data_file(self) -> str | None:
        """Return the tensor file as results name it; None if tensors are generated."""
        file = None if self.mix else self.kinds[0].inputs[0].file
        return None if file is None else str(file)

    @property
    def data_seed(self) -> int | None:
        """Return the seed of generated tensors and words; None if all come from files."""
        inputs = [one for kind in self.kinds for one in kind.inputs]
        return self.seed if any(one.file is None or one.is_trace for one in inputs) else None

    @property
    def tensor_bytes(self) -> int:
        """Return the size of one tensor, without the batch, in bytes."""
        return tensortype.tensor_bytes(self.shape, self.dtype)

    @property
    def measured_s(self) -> float | None:
        """Return how long the run measures, in seconds; None if that is not known beforehand."""
        return self.duration_s or sum(step.duration_s for step in self.profile) or None

    @property
    def draws_prompts(self) -> bool:
        """Return whether prompts are drawn, of some kind at least, or the words of a trace."""
        return self.trace is not None or any(kind.is_drawn for kind in self.kinds)

    def with_prompts_of(self, run: int) -> "RunConfig":
        """Return the settings of a run of this number in a study, from 0 on.

        Drawn prompts are others in each, for a server may have those of earlier runs in its cache.
        """
        if not self.draws_prompts:
            return self
        return dataclasses.replace(self, seed=self.seed + MAX_KINDS * run)  # each kind has a seed

    def check_conversations(self) -> None:
        """ConfigError if there are conversations where a schedule or a mix says what is next."""
        if not (self.is_open_loop or self.mix):
            return
        if not any(one.has_conversations for kind in self.kinds for one in kind.inputs):
            return
        if self.mix:
            raise ConfigError(
                "`mix` has prompts with sessions, whose turns go in order: leave it out"
            )
        raise ConfigError(
            f"`prompts` {self.prompts} has sessions, whose turns follow the one before, not a "
            "schedule: leave out `limit_rps`, `profile` or `arrivals_file`"
        )

    def count_tensors(self) -> list[int]:
        """Return how many tensors each kind has; ConfigError if a file is wrong, or all warm-up."""
        counts = [kind.count_tensors() for kind in self.kinds]
        self.max_requests(counts[0])
        if self.max_queries:  # and one on trial
            return [
                min(count, self.max_queries + 1) if kind.is_drawn else count
                for kind, count in zip(self.kinds, counts, strict=True)
            ]
        return counts

    def max_requests(self, tensor_count: int) -> int:
        """Return how many requests to send, 0 for no limit; ConfigError if all are warm-up."""
        if self.max_queries == 0 and (self.duration_s or self.profile or self.is_recorded):
            return 0
        if self.mix or self.kinds[0].is_drawn:
            if self.max_queries == 0:
                given = "`mix`" if self.mix else "`prompt_tokens`"
                raise ConfigError(f"{given} needs `duration_s` or `max_queries`")
            if self.burn_in >= self.max_queries:
                raise ConfigError(
                    f"`burn_in` {self.burn_in} requests, but `max_queries` is {self.max_queries}: "
                    "nothing would be left to measure"
                )
            return self.max_queries
        tensors = self.max_queries or tensor_count
        requests = -(-tensors // self.batch_size)
        if self.burn_in >= requests:
            asked = "`max_queries`" if self.max_queries else "one pass of the tensors"
            raise ConfigError(
                f"`burn_in` {self.burn_in} requests, but {asked} is {tensors} tensors, "
                f"{requests} requests of {self.batch_size}: nothing would be left to measure"
            )
        return requests
