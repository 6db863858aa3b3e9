"""A Dask cluster, whose workers do a part of a command's work each."""

import logging
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from aibench_fast import __version__
from aibench_fast.errors import AibenchError, ConfigError, ServerError

if TYPE_CHECKING:
    from distributed import Client

CONNECT_S = 5
CLOSE_S = 1
AHEAD = 2
"""Tasks for each thread of the cluster, so that none waits for the next."""
Item = TypeVar("Item")
Made = TypeVar("Made")


class Place(NamedTuple):
    """A Dask worker."""

    address: str
    """What Dask calls it."""
    name: str
    host: str
    version: str | None
    """Of this package there; None where it cannot be imported."""
    missing: str
    """Why not."""

    def __str__(self) -> str:
        """Return it as a person looks for it."""
        return f"the Dask worker {self.name} on {self.host}"

    def check_version(self) -> None:
        """ServerError where it has not this version of this package."""
        if self.version is None:
            raise ServerError(
                f"{self} has no aibench-fast {__version__} ({self.missing}): install it there"
            )
        if self.version != __version__:
            raise ServerError(
                f"{self} has aibench-fast {self.version}, and here is {__version__}: install the "
                "same on all machines"
            )


def ask(
    client: "Client", function: Callable[..., Any], *arguments: Any, workers: Iterable[str]
) -> dict[str, Any]:
    """What a function returns in each worker beside its tasks, or the exception that it raised."""
    told: dict[str, Any] = client.run(
        function, *arguments, workers=list(workers), on_error="return"
    )
    return told


def places(client: "Client") -> list[Place]:
    """All workers; ServerError where there is none, or one does not answer."""
    addresses = list(client.nthreads())
    if not addresses:
        raise ServerError("the Dask cluster has no workers: start some with `dask worker`")
    told = ask(client, _prober(), workers=addresses)
    return [_place(address, told[address]) for address in addresses]


def _prober() -> Callable[..., dict[str, str]]:
    """What asks a Dask worker about itself.

    A function in a function is sent whole: one of a module would be looked for there.
    """

    def probe(dask_worker: Any) -> dict[str, str]:
        import socket

        told = {"name": str(dask_worker.name), "host": socket.gethostname()}
        try:
            from aibench_fast import __version__
        except ImportError as error:
            return {**told, "missing": str(error)}
        return {**told, "version": __version__}

    return probe


def _place(address: str, told: Any) -> Place:
    if isinstance(told, Exception):
        line = " ".join(str(told).split()) or type(told).__name__
        raise ServerError(f"the Dask worker {address} does not answer: {line}")
    return Place(
        address, told["name"], told["host"], told.get("version"), told.get("missing", "")
    )  # fmt: skip


class DaskCluster:
    """A cluster all of whose workers have this version of the package."""

    def __init__(self, address: str, client: Any) -> None:
        """Of a connected client of Dask's."""
        self._address = address
        self._client = client

    def on_each_worker(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Call a function on each worker; what comes of it, or the exception, by its address."""
        return ask(self._client, function, *arguments, workers=self._client.nthreads())

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
            if future.cancelled():  # by Dask, whose scheduler is gone
                raise
            raise ServerError(f"--dask {self._address}: {type(error).__name__}: {error}") from error


@contextmanager
def connect(address: str) -> Iterator[DaskCluster]:
    """As `connected`; ServerError too where no worker is there, or one without this package."""
    with connected(address) as client, scheduler_there(client):
        for place in places(client):
            place.check_version()
        yield DaskCluster(address, client)


@contextmanager
def scheduler_there(client: "Client") -> Iterator[None]:
    """ServerError where the scheduler goes meanwhile; Dask has errors of many kinds for that."""
    from distributed.comm import CommClosedError

    try:
        yield
    except AibenchError:
        raise
    except Exception as error:
        if isinstance(error, CommClosedError) or client.status != "running":
            raise ServerError(
                "the Dask scheduler is gone: start it again, and then this command"
            ) from error
        raise


@contextmanager
def connected(address: str) -> "Iterator[Client]":
    """A client of the scheduler at an address such as tcp://scheduler:8786 until the block ends.

    ConfigError where Dask is not installed here or this is no address of its, ServerError where
    there is no scheduler.
    """
    try:
        from distributed import Client
        from distributed.comm.addressing import get_address_host_port
        from distributed.versions import VersionMismatchWarning
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
    with _silenced("distributed", "distributed.client"):  # which have a level each
        try:
            with warnings.catch_warnings():
                # A table of many lines on pandas and others; this package's version is checked.
                warnings.simplefilter("ignore", VersionMismatchWarning)
                client = Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, TypeError) as error:
            raise ServerError(
                f"--dask {address}: no scheduler answers there; start one by `dask scheduler`"
            ) from error
        try:
            yield client
        finally:
            client.close(timeout=CLOSE_S)


@contextmanager
def _silenced(*names: str) -> Iterator[None]:
    """Without what loggers would print, which is in the errors that are raised here."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
