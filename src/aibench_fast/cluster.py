"""A Dask cluster, whose workers do a part of a command's work each."""

import logging
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from aibench_fast import __version__
from aibench_fast.errors import AibenchError, ConfigError, ServerError

if TYPE_CHECKING:
    from distributed import Client

    DaskClient: TypeAlias = Client
else:
    DaskClient = Any  # Dask is imported when there is a cluster

CONNECT_S = 5
CLOSE_S = 1
AHEAD = 2
"""Tasks for each thread of the cluster, so that none waits for the next."""
Item = TypeVar("Item")
Made = TypeVar("Made")


class Place(NamedTuple):
    """A Dask worker."""

    address: str
    """Its name in Dask."""
    name: str
    host: str
    version: str | None = None
    """Of this package there; None where it cannot be imported."""
    missing: str = ""
    """Why not."""

    def __str__(self) -> str:
        """Return it as a person looks for it."""
        return f"the Dask worker {self.name} on {self.host}"

    def check_version(self) -> None:
        """Raise ServerError if it does not have this version of the package."""
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
    client: DaskClient, function: Callable[..., Any], *arguments: Any, workers: Iterable[str]
) -> dict[str, Any]:
    """Call a function in each worker, beside its tasks.

    Return what it returned, or the exception that it raised, by the worker's address.
    """
    answers: dict[str, Any] = client.run(
        function, *arguments, workers=list(workers), on_error="return"
    )
    return answers


def places(client: DaskClient) -> list[Place]:
    """Return all workers; ServerError if there are none, or one does not answer."""
    addresses = list(client.nthreads())
    if not addresses:
        raise ServerError("the Dask cluster has no workers: start some with `dask worker`")
    answers = ask(client, _prober(), workers=addresses)
    for address, answer in answers.items():
        if isinstance(answer, Exception):
            line = " ".join(str(answer).split()) or type(answer).__name__
            raise ServerError(f"the Dask worker {address} does not answer: {line}")
    return [Place(address, **answers[address]) for address in addresses]


def _prober() -> Callable[..., dict[str, str]]:
    """Return a function that a Dask worker calls to describe itself.

    Dask sends an inner function whole. One of a module would have to be installed there.
    """

    def probe(dask_worker: Any) -> dict[str, str]:
        import socket

        described = {"name": str(dask_worker.name), "host": socket.gethostname()}
        try:
            from aibench_fast import __version__
        except ImportError as error:
            return {**described, "missing": str(error)}
        return {**described, "version": __version__}

    return probe


class DaskCluster:
    """A cluster all of whose workers have this version of the package."""

    def __init__(self, address: str, client: Any) -> None:
        """Keep a connected client of Dask."""
        self._address = address
        self._client = client

    def on_each_worker(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Call a function on each worker; return results or exceptions, by address."""
        return ask(self._client, function, *arguments, workers=self._client.nthreads())

    def map(
        self, function: Callable[[Item], Made], items: Iterable[Item]
    ) -> Generator[Made, None, None]:
        """Call a function with each item on some worker; yield the results in the items' order.

        Only as many calls are outstanding as keep the workers busy. If a worker dies, another one
        repeats its calls. Closing the generator cancels the calls that have not begun. Raises what
        a call raised; ServerError if one item kills several workers, or the scheduler is gone.
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
                f"--dask {self._address}: one task killed several workers: {error}"
            ) from error
        except Exception as error:
            if future.cancelled():  # by Dask, whose scheduler is gone
                raise
            raise ServerError(f"--dask {self._address}: {type(error).__name__}: {error}") from error


@contextmanager
def connect(address: str) -> Iterator[DaskCluster]:
    """Connect as `connected` does; ServerError if no worker has this version of the package."""
    with connected(address) as client, scheduler_there(client):
        for place in places(client):
            place.check_version()
        yield DaskCluster(address, client)


@contextmanager
def scheduler_there(client: DaskClient) -> Iterator[None]:
    """Raise ServerError if the scheduler goes away; Dask has many kinds of errors for that."""
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
def connected(address: str) -> Iterator[DaskClient]:
    """Connect to the scheduler at an address such as tcp://scheduler:8786 until the block ends.

    ConfigError if Dask is not installed or the address is malformed; ServerError if no scheduler
    answers.
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
            f"--dask {address}: not the address of a scheduler; write it as tcp://HOST:8786"
        ) from error
    with _silenced("distributed", "distributed.client"):  # which have a level each
        try:
            # A table of many lines on pandas and others; this package's version is checked.
            with warnings.catch_warnings(action="ignore", category=VersionMismatchWarning):
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
    """Silence loggers: the errors that are raised here say the same."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
