"""A run's dealings with RedisAI, from the first question to what it leaves."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aibench_fast._core import RespPlan
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.record import ServerRecord
from aibench_fast.protocols.redisai.commands import Dialect, encode
from aibench_fast.protocols.redisai.connection import log_in_command
from aibench_fast.protocols.redisai.request import Request, Tensor
from aibench_fast.protocols.redisai.statistics import RedisAiReader
from aibench_fast.protocols.redisai.visit import Trial, leave, visit
from aibench_fast.protocols.session import AskedKind, Endpoint, native_tls
from aibench_fast.protocols.statistics import Reader, ServerWatch


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How requests are asked; see the options of `run`."""

    dialect: Dialect | None = Dialect.MODELRUN
    use_dag: bool = False
    persist: bool = False
    timeout_ms: int | None = None
    reset_stats: bool = False


class RedisAiSession:
    """A `protocols.session.Session` with RedisAI."""

    def __init__(
        self, address: ServerAddress, asking: Asking, kinds: Sequence[AskedKind], workers: int
    ) -> None:
        """Visit the server; ServerError where something that is needed is refused."""
        self._address = address
        self._workers = workers
        trials = [
            Trial(_request(asking, kind), [one.trial for one in kind.inputs]) for kind in kinds
        ]
        self.record: ServerRecord
        self.record, self._requests = visit(
            address, trials, asking.dialect, workers=workers, reset_stats=asking.reset_stats
        )
        self.endpoint = Endpoint(
            self.record.peer,
            address.port,
            address.socket,
            _greeting(address),
            native_tls(address.tls, address.host),
        )

    def label(self, model: str) -> str:
        """Names a model and the command that runs it, as aibench does."""
        return replace(self._requests[0], model=model).label

    def texts(self, kind: int, worker: int, tensors_bytes: int) -> list[bytes]:
        """The commands of a worker's requests around the tensors, of which each has its size."""
        del tensors_bytes
        return self._requests[kind].texts(worker)

    def plan(self, kind: int) -> RespPlan:
        """The commands' replies."""
        request, output = self._requests[kind], self.record.outputs[kind]
        return RespPlan(request.expected_replies(output.output_bytes), in_array=request.use_dag)

    def watch(self, also: Sequence[Reader]) -> ServerWatch:
        """What reads INFO and AI.INFO, and `also` these; ServerError where nothing answers."""
        models = list(dict.fromkeys(request.model for request in self._requests))
        readers = [RedisAiReader(self._address, models), *also]
        return ServerWatch(readers, str(self._address))

    def leave(self, patience_s: float) -> None:
        """Delete what the workers stored."""
        leave(self._address, self._requests, self._workers, patience_s)


def _request(asking: Asking, kind: AskedKind) -> Request:
    return Request(
        dialect=asking.dialect or Dialect.MODELRUN,
        model=kind.model,
        inputs=[Tensor(one.dtype, one.shape) for one in kind.inputs],
        use_dag=asking.use_dag,
        persist=asking.persist,
        timeout_ms=asking.timeout_ms,
    )


def _greeting(address: ServerAddress) -> bytes | None:
    """The log-in that every worker's connection begins with."""
    command = log_in_command(address)
    return None if command is None else encode(command)[0]
