"""A Dask cluster, whose workers do a part of a command's work each."""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from aibench_fast.errors import AibenchError, ConfigError, ServerError

if TYPE_CHECKING:
    from distributed import Client

CONNECT_S = 5
CLOSE_S = 1
AHEAD = 2
"""Tasks for each thread of the cluster, so that none waits for the next."""
Item = TypeVar("Item")
Made = TypeVar("Made")


class Cluster:
    """A cluster all of whose workers have this version of the package."""

    def __init__(self, address: str, client: Any) -> None:
        """Of a connected client of Dask's."""
        self._address = address
        self._client = client

    def on_each_worker(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Call a function on each worker; what comes of it, or the exception, by its address."""
        try:
            answers: dict[str, Any] = self._client.run(function, *arguments, on_error="return")
        except OSError as error:
            raise self._lost(error) from error
        return answers

    def map(
        self, function: Callable[[Item], Made], items: Iterable[Item]
    ) -> Generator[Made, None, None]:
        """Call a function with each item on some worker; yield what comes of it, in order.

        Only so many are sent at a time as keep the workers busy. One whose worker dies is done by
        another. When the generator is closed what has not begun is given up. Raises what a call
        raised, and ServerError where workers die of one, or the scheduler is gone.
        """
        waiting, begun = iter(items), deque[Any]()
        try:
            while True:
                # Workers may join meanwhile.
                room = AHEAD * max(1, sum(self._client.nthreads().values())) - len(begun)
                for item in islice(waiting, max(0, room)):
                    begun.append(self._client.submit(function, item, pure=False))
                if not begun:
                    return
                yield self._result(begun.popleft())
        finally:
            self._client.cancel(list(begun))

    def _result(self, future: Any) -> Any:
        from distributed import KilledWorker

        try:
            return future.result()
        except AibenchError:
            raise
        except KilledWorker as error:
            raise ServerError(
                f"--dask {self._address}: one task after another worker died of: {error}"
            ) from error
        except Exception as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> ServerError:
        return ServerError(f"--dask {self._address}: {type(error).__name__}: {error}")


@contextmanager
def connect(address: str) -> Iterator[Cluster]:
    """As `connected`; ServerError too where no worker is there, or one without this package."""
    with connected(address) as client:
        cluster = Cluster(address, client)
        _check_workers(address, cluster)
        yield cluster


@contextmanager
def connected(address: str) -> "Iterator[Client]":
    """A client of the scheduler at an address such as tcp://scheduler:8786 until the block ends.

    ConfigError where Dask is not installed here or this is no address of its, ServerError where
    there is no scheduler.
    """
    try:
        from distributed import Client
        from distributed.comm.addressing import get_address_host_port
    except ImportError as error:
        raise ConfigError(
            f"--dask {address}: Dask is not installed; run: pip install 'aibench-fast[dask]'"
        ) from error
    try:
        get_address_host_port(address, strict=True)
    except ValueError as error:
        raise ConfigError(
            f"--dask {address}: is no scheduler's address; write it as tcp://HOST:8786"
        ) from error
    log = logging.getLogger("distributed")
    level = log.level
    log.setLevel(logging.CRITICAL)  # what it would print is in the errors raised here
    try:
        try:
            client = Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, TypeError) as error:
            raise ServerError(
                f"--dask {address}: no scheduler answers there; start one by `dask scheduler`"
            ) from error
        try:
            yield client
        finally:
            client.close(timeout=CLOSE_S)
    finally:
        log.setLevel(level)


def _check_workers(address: str, cluster: Cluster) -> None:
    # A function of Python's own is known to a worker that has nothing of ours.
    found = cluster.on_each_worker(version, "aibench-fast")
    if not found:
        raise ServerError(
            f"--dask {address}: the scheduler has no worker; start some by `dask worker {address}`"
        )
    ours = version("aibench-fast")
    for worker, theirs in found.items():
        if theirs != ours:
            told = "none" if isinstance(theirs, Exception) else theirs
            raise ServerError(
                f"--dask {address}: worker {worker} has aibench-fast {told}, and here is {ours}; "
                "install the same on all"
            )
