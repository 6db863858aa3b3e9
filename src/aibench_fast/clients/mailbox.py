"""The clients' messages to the coordinator, and which clients are gone."""

import queue
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aibench_fast.cluster import Place

if TYPE_CHECKING:
    from distributed import Client as DaskClient

LOOK_S = 0.1
PRESENCE_S = 1.0
"""How often the scheduler is asked which workers there are."""

Letter = dict[str, Any]


class Mailbox:
    """Reads a run's Dask queue in a thread, so that Ctrl-C never cuts a letter off half read."""

    def __init__(self, client: "DaskClient", run_id: str, places: Sequence[Place]) -> None:
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

    def _read(self, client: "DaskClient", places: Sequence[Place]) -> None:
        present = {place.address: number for number, place in enumerate(places)}
        rounds = 0
        try:
            while not self._is_closing.wait(LOOK_S):
                for letter in self._queue.get(batch=True):
                    self.received_bytes += len(letter.get("report", b""))
                    self._letters.put(letter)
                rounds += 1
                if rounds % round(PRESENCE_S / LOOK_S) == 0:
                    for address in present.keys() - client.nthreads().keys():
                        self._letters.put({"client": present.pop(address), "what": "gone"})
        except Exception as error:  # the scheduler is gone, and all clients with it
            self._letters.put({"what": "cut", "message": str(error) or type(error).__name__})
