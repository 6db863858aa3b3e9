"""One client of several: what runs in a Dask worker."""

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aibench_fast import coretypes
from aibench_fast.clients.clocks import NS_PER_S, clock_id
from aibench_fast.clients.merge import ClientReport, encode
from aibench_fast.errors import AibenchError, ServerError
from aibench_fast.load.config import RunConfig
from aibench_fast.load.runner import PreparedRun
from aibench_fast.results.events import Event, SoFar
from aibench_fast.results.result import Result
from aibench_fast.results.serverperiods import OVERALL

LOOK_S = 0.5  # how late it is noticed that nobody waits for the run any more


class _Orders:
    """The coordinator's orders to the clients of a run that are in this process."""

    def __init__(self) -> None:
        self.is_ordered = threading.Event()
        """To start, or to stop before that."""
        self.at_ns = 0
        self.is_halted = False
        self.runs: list[PreparedRun] = []

    def halt(self) -> None:
        self.is_halted = True
        for run in list(self.runs):
            run.interrupt()
        self.is_ordered.set()


_orders: dict[str, _Orders] = {}
_lock = threading.Lock()


def _orders_of(run_id: str) -> _Orders:
    with _lock:
        return _orders.setdefault(run_id, _Orders())


def begin(run_id: str, starts_ns: Mapping[str, int]) -> None:
    """Have a run's clients here start, at the time that stands for the clock of this machine."""
    orders = _orders_of(run_id)
    orders.at_ns = starts_ns[clock_id()]
    orders.is_ordered.set()


def halt(run_id: str) -> None:
    """Have them stop, and report what they measured."""
    _orders_of(run_id).halt()


def forget(run_id: str) -> None:
    """Forget a run that is over."""
    with _lock:
        _orders.pop(run_id, None)


def which_clock() -> str:
    """Return which clock is here: see `clocks.clock_id`."""
    return clock_id()


def drive(run_id: str, config: RunConfig) -> None:
    """Be the client of a config: get ready, start on order, and report by the run's Dask queue."""
    from distributed import Queue

    assert config.share is not None
    client, queue = config.share.client, Queue(run_id)

    def report(what: str, **more: Any) -> None:
        queue.put({"client": client, "what": what, **more})

    try:
        _drive(run_id, config, report)
    except AibenchError as error:
        report("failed", kind=type(error).__name__, message=str(error))
    except Exception as error:
        report("failed", kind="InternalError", message=f"{type(error).__name__}: {error}")
    finally:
        queue.close()


def _drive(run_id: str, config: RunConfig, send: Any) -> None:
    orders = _orders_of(run_id)

    def observe(event: Event) -> None:
        if isinstance(event, SoFar):
            send("so_far", report=encode(_report(event.result, run.snapshot(), orders.at_ns)))

    with PreparedRun(config, observe) as run, _under(orders, run, run_id):
        send("ready", server=dataclasses.asdict(run.server))
        orders.is_ordered.wait()
        if orders.is_halted:
            raise ServerError("it was stopped before its start")
        result = run.measure(orders.at_ns)
        report = _report(result, run.snapshot(), orders.at_ns, is_final=True)
    send("done", report=encode(report))


@contextmanager
def _under(orders: _Orders, run: PreparedRun, run_id: str) -> Iterator[None]:
    """Have a run hear orders while the block lasts, or halt where nobody waits for it any more.

    With the last run its orders are forgotten.
    """
    is_over = threading.Event()
    is_wanted = _wanted()

    def guard() -> None:
        while not is_over.wait(LOOK_S):
            if not is_wanted():
                orders.halt()

    orders.runs.append(run)
    guarding = threading.Thread(target=guard, name="aibench-guard", daemon=True)
    guarding.start()
    try:
        yield
    finally:
        is_over.set()
        guarding.join()
        orders.runs.remove(run)
        if not orders.runs:
            forget(run_id)


def _report(
    result: Result, snapshot: coretypes.Snapshot, at_ns: int, *, is_final: bool = False
) -> ClientReport:
    """Return the result without what would grow with every reporting period."""
    server = result.server
    if not is_final:
        server = dataclasses.replace(server, periods={OVERALL: {}}, readings={})
    from_ns = snapshot.measured_from_ns
    return ClientReport(
        result=dataclasses.replace(result, intervals=(), server=server),
        measured_after_s=(from_ns - snapshot.started_ns) / NS_PER_S if from_ns else None,
        start_lag_s=max(0, snapshot.began_ns - at_ns) / NS_PER_S if snapshot.began_ns else 0.0,
    )


def _wanted() -> Callable[[], bool]:
    """Return a function that says whether somebody still waits for the task that runs here."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def is_wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state != "cancelled"

    return is_wanted
