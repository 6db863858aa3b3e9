"""A run over several clients, each in a Dask worker: shared out, started together, merged."""

import dataclasses
import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from aibench_fast import errors
from aibench_fast.clients import clocks, drive
from aibench_fast.clients.files import placed, with_files
from aibench_fast.clients.merge import Client, decode, merge
from aibench_fast.clients.periods import Period, Periods
from aibench_fast.clients.split import choose, split
from aibench_fast.cluster import DaskClient, Place, ask
from aibench_fast.errors import ServerError
from aibench_fast.load.config import RunConfig
from aibench_fast.load.readings import unix_ms
from aibench_fast.load.resolve import resolve
from aibench_fast.results.events import BurnInComplete, Observer, SoFar, Started
from aibench_fast.results.groups import ServerFacts
from aibench_fast.results.result import Result

LOOK_S = 0.5
READY_S = 120.0
"""How long clients may take to get ready."""
LEAD_S = 0.5
LEAD_A_CLIENT_S = 0.01
"""From the message of the start to the start: a worker gets the message in much less."""
HURRY_S = 1.5
"""The timeout of the clients' reports when someone waits for the end."""
READ_S = 0.1
PRESENCE_S = 1.0
"""How often the scheduler is asked which workers there are."""
MS_PER_S = 1000

Letter = dict[str, Any]


class Mailbox:
    """Reads a run's Dask queue in a thread, so that Ctrl-C never cuts a letter off half read."""

    def __init__(self, client: DaskClient, run_id: str, places: Sequence[Place]) -> None:
        """Open it, before any client writes."""
        from distributed import Queue

        self.received_bytes = 0
        """Of all reports."""
        self._queue = Queue(run_id, client=client)
        self._letters: queue.Queue[Letter] = queue.Queue()
        self._is_closing = threading.Event()
        self._thread = threading.Thread(
            target=self._read, args=(client, places), name="aibench-mailbox", daemon=True
        )
        self._thread.start()

    def next(self, timeout_s: float) -> Letter | None:
        """Return the next letter; None where none comes in time."""
        try:
            return self._letters.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Read no more."""
        self._is_closing.set()
        self._thread.join()
        self._queue.close()

    def _read(self, client: DaskClient, places: Sequence[Place]) -> None:
        present = {place.address: number for number, place in enumerate(places)}
        rounds = 0
        try:
            while not self._is_closing.wait(READ_S):
                for letter in self._queue.get(batch=True):
                    self.received_bytes += len(letter.get("report", b""))
                    self._letters.put(letter)
                rounds += 1
                if rounds % round(PRESENCE_S / READ_S) == 0:
                    for address in present.keys() - client.nthreads().keys():
                        self._letters.put({"client": present.pop(address), "what": "gone"})
        except Exception as error:  # the scheduler is gone, and all clients with it
            self._letters.put({"what": "cut", "message": str(error) or type(error).__name__})


class RunOverClients:
    """The coordinator of one run."""

    def __init__(
        self, config: RunConfig, observe: Observer, dask: DaskClient, count: int | None
    ) -> None:
        """Check what can be checked before anything is sent to the workers."""
        self._config = config = resolve(config)
        self._observe = observe
        self._dask = dask
        config.count_tensors()
        self._places = choose(dask, count, config.workers)
        shares = split(config, len(self._places))
        self._clients = [Client(*one) for one in zip(self._places, shares, strict=True)]
        self._run_id = f"aibench-fast-{secrets.token_hex(8)}"
        self._running = set(range(len(self._clients)))
        self._interrupted = False
        self._start_unix_ms = 0

    def run(self) -> Result:
        """Do it all."""
        where = placed(self._dask, self._places, self._config, self._observe)
        self._mailbox = Mailbox(self._dask, self._run_id, self._places)
        futures = [
            self._dask.submit(
                drive.drive,
                self._run_id,
                with_files(one.config, files),
                workers=[one.place.address],
                pure=False,
                retries=0,
            )
            for one, files in zip(self._clients, where, strict=True)
        ]
        try:
            server = self._await_ready()
            self._begin()
            self._observe(Started(server))
            return self._measure()
        finally:
            self._leave(futures)

    def _leave(self, futures: Sequence[Any]) -> None:
        """Stop what still runs, and forget the run everywhere."""
        with suppress(Exception):  # the cluster may be gone
            if self._running:
                self._call(drive.halt)
            self._dask.cancel(futures)
            self._call(drive.forget)
        self._mailbox.close()

    def _call(self, function: Any, *more: Any) -> dict[int, Exception]:
        """Call a function in each client that is left; return which of them failed, and how."""
        left = {n: one.place.address for n, one in enumerate(self._clients) if one.lost is None}
        answers = ask(self._dask, function, self._run_id, *more, workers=left.values())
        found = {number: answers[address] for number, address in left.items()}
        return {number: one for number, one in found.items() if isinstance(one, Exception)}

    def _await_ready(self) -> ServerFacts:
        """Wait until every client is; raise what one could not do."""
        waited_for = set(self._running)
        until_s = time.monotonic() + READY_S
        server: ServerFacts | None = None
        while waited_for:
            letter = self._mailbox.next(LOOK_S)
            if letter is not None and letter["what"] == "ready":
                waited_for.discard(letter["client"])
                server = server or ServerFacts(**letter["server"])
            elif letter is not None:
                raise self._error(letter)
            elif time.monotonic() > until_s:
                late = self._places[min(waited_for)]
                raise ServerError(
                    f"{late} was not ready within {READY_S:g} s: is it busy with other tasks?"
                )
        assert server is not None
        return server

    def _error(self, letter: Letter) -> errors.AibenchError:
        if letter["what"] == "cut":
            return ServerError(f"the Dask scheduler is gone: {letter['message']}")
        place = self._places[letter["client"]]
        if letter["what"] == "gone":
            return ServerError(f"{place} is gone, before the run began")
        kind: type[errors.AibenchError] = getattr(errors, letter["kind"], errors.InternalError)
        return kind(f"{place}: {letter['message']}")

    def _begin(self) -> None:
        """Agree on the moment of the start, and send it to each client by its own clock."""
        by_clock = {clocks.clock_id(): clocks.SAME_CLOCK}
        theirs = self._ask(drive.which_clock, *self._places)
        for one, clock in zip(self._clients, theirs, strict=True):
            if clock not in by_clock:
                by_clock[clock] = clocks.measure(partial(self._read_clock, one.place))
            one.offset = by_clock[clock]
        lead_s = LEAD_S + LEAD_A_CLIENT_S * len(self._clients)
        at_ns = time.monotonic_ns() + round(lead_s * clocks.NS_PER_S)
        self._start_unix_ms = unix_ms() + round(lead_s * MS_PER_S)
        starts_ns = {clock: offset.there(at_ns) for clock, offset in by_clock.items()}
        for number, error in self._call(drive.begin, starts_ns).items():
            raise ServerError(
                f"{self._places[number]} could not begin the run: {type(error).__name__}: {error}"
            )

    def _read_clock(self, place: Place) -> int:
        (now_ns,) = self._ask(time.monotonic_ns, place)
        return int(now_ns)

    def _ask(self, function: Callable[[], Any], *places: Place) -> list[Any]:
        """Ask each about its clock; ServerError if one does not answer."""
        answers = ask(self._dask, function, workers=[place.address for place in places])
        for place in places:
            if isinstance(answers[place.address], Exception):
                raise ServerError(f"{place} does not report its clock: {answers[place.address]}")
        return [answers[place.address] for place in places]

    def _measure(self) -> Result:
        """Follow the clients to their end, or to Ctrl-C."""
        self._periods = Periods(
            len(self._clients), self._config.reporting_period_s, self._start_unix_ms
        )
        self._is_burning_in = bool(self._config.burn_in or self._config.burn_in_s)
        try:
            while self._running:
                self._take(self._mailbox.next(LOOK_S))
        except KeyboardInterrupt:
            self._interrupted = True
            self._hurry()
        if not self._results:
            raise ServerError(
                f"all {len(self._clients)} clients were lost before their first report: "
                f"{self._places[0]}: {self._clients[0].lost}"
            )
        for period in self._periods.rest(max(result.duration_s for result in self._results)):
            self._show(period)
        return self._merged()

    @property
    def _results(self) -> list[Result]:
        """The newest results of the clients that have reported."""
        return [one.report.result for one in self._clients if one.report is not None]

    def _hurry(self) -> None:
        """Stop all clients, and wait no longer for what they say than a user does."""
        until_s = time.monotonic() + HURRY_S
        # A machine that is away without a word is not waited for.
        threading.Thread(target=self._halt, name="aibench-halt", daemon=True).start()
        while self._running and (left_s := until_s - time.monotonic()) > 0:
            self._take(self._mailbox.next(left_s))
        for number in sorted(self._running):
            self._lose(number, "it did not answer when the run was stopped")

    def _halt(self) -> None:
        with suppress(Exception):  # whoever does not hear it is lost
            self._call(drive.halt)

    def _take(self, letter: Letter | None) -> None:
        if letter is None:
            return
        if letter["what"] == "cut":
            for number in sorted(self._running):
                self._lose(number, f"the Dask scheduler is gone ({letter['message']})")
            return
        number = letter["client"]
        if number not in self._running:
            return
        match letter["what"]:
            case "so_far" | "done" as what:
                report = self._clients[number].report = decode(letter["report"])
                self._periods.add(number, report, is_over=what == "done")
                if what == "done":
                    self._running.discard(number)
                    self._end_others(report.result)
            case "failed":
                self._lose(number, letter["message"])
            case _:
                self._lose(number, "its Dask worker is gone")
        for period in self._periods.made():
            self._show(period)

    def _lose(self, number: int, how: str) -> None:
        self._clients[number].lost = how
        self._running.discard(number)
        self._periods.lose(number)

    def _end_others(self, result: Result) -> None:
        """Where one client's run was ended by what one client's alone would have been, end all."""
        config = self._config
        is_cut = config.on_disconnect == "stop" and "connection_lost" in result.failures
        is_failed = result.failed and not config.continue_on_error
        if result.schedule.lag_exceeded or is_cut or is_failed:
            for number, error in self._call(drive.halt).items():
                if number in self._running:
                    self._lose(number, f"it could not be stopped: {error}")

    def _show(self, period: Period) -> None:
        """Send a reporting period of the whole run to the observer."""
        if self._is_burning_in and period.interval.overall_rate:
            self._is_burning_in = False
            requests = self._config.burn_in or sum(
                result.counts.burn_in_requests for result in self._results
            )
            self._observe(BurnInComplete(requests, self._config.workers))
        self._observe(period.interval)
        if self._config.interval_latencies:
            self._observe(period.latencies)
        if self._config.results_so_far and self._running:
            self._observe(SoFar(self._merged(incomplete=True)))

    def _merged(self, *, incomplete: bool = False) -> Result:
        merged = merge(
            self._config,
            self._clients,
            start_unix_ms=self._start_unix_ms,
            intervals=self._periods.intervals,
            interrupted=self._interrupted,
            incomplete=incomplete,
        )
        of_all = {"Clients": len(self._clients), "CoordinatorBytes": self._mailbox.received_bytes}
        return dataclasses.replace(merged, facts={**merged.facts, **of_all})
