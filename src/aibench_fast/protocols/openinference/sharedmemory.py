"""Inputs and outputs in POSIX shared memory, whose regions a server on this machine maps by name.

A region's name says which process owns it. A process that is killed leaves its regions behind, here
and in servers that have mapped them: the next run finds them by their names.
"""

import itertools
import mmap
import os
import re
from array import array
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from aibench_fast.coretypes import OipOutput
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.client import Client, Place
from aibench_fast.protocols.serverprocess import stat_fields
from aibench_fast.protocols.session import AskedKind, Workload
from aibench_fast.tensortype import STRINGS
from aibench_fast.units import described_size

EXTENSION = "system_shared_memory"
ALIGNED_BYTES = 64
PIECE_BYTES = 1 << 20
"""About this much is copied at a time."""
_FOLDER = Path("/dev/shm")
_PREFIX = "aibench-fast"
_NAME = re.compile(rf"{_PREFIX}-(?P<namespace>\d+)-(?P<pid>\d{{1,9}})-(?P<started>\d+)-\d+")
"""The namespace of the owner's process id, that id, when the process started, and a number. An id
alone is not enough: a later process may have the same."""
_STATE, _START = 0, 19
"""Places behind the name in /proc/PID/stat: see proc_pid_stat(5)."""
_numbers = itertools.count(1)


class Region:
    """A region that this process owns."""

    def __init__(self, size_bytes: int) -> None:
        """Reserve its memory; ConfigError if there is not so much."""
        self.size_bytes = size_bytes
        pid = os.getpid()
        started = stat_fields(pid)[_START]
        # All of a process's names are of one length, so that requests that have them are too.
        self.name = f"{_PREFIX}-{_namespace()}-{pid}-{started}-{next(_numbers):06}"
        self._path = _FOLDER / self.name
        self._file = -1
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            os.posix_fallocate(self._file, 0, size_bytes)
        except BaseException as error:
            self.close()
            if not isinstance(error, OSError):
                raise
            raise ConfigError(
                f"`shared_memory`: no region of {described_size(size_bytes)} in {_FOLDER}, which "
                f"has {_room()}: {error.strerror}; make it larger (a container's: --shm-size), or "
                "send fewer tensors with `max_queries`"
            ) from error

    @property
    def key(self) -> str:
        """Return the name by which shm_open(3) finds it."""
        return f"/{self.name}"

    def write(self, offset: int, data: bytes) -> None:
        """Store bytes from an offset on."""
        left = memoryview(data)
        while left:
            written = os.pwrite(self._file, left, offset)
            offset, left = offset + written, left[written:]

    def memory(self) -> memoryview:
        """Return its bytes, to be read; they stay after it is closed, as long as this is kept."""
        return memoryview(mmap.mmap(self._file, self.size_bytes, prot=mmap.PROT_READ))

    def unlink(self) -> None:
        """Take its name away; servers that have mapped it keep it."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Take its name away, and free it unless a server has mapped it; may be called again."""
        self.unlink()
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


def remove_abandoned() -> None:
    """Remove the regions of processes that have ended."""
    for path in _FOLDER.glob(f"{_PREFIX}-*"):
        if is_abandoned(path.name):
            with suppress(OSError):  # somebody else's
                path.unlink()


def is_abandoned(name: str) -> bool:
    """Return whether a region is this program's, and its process, in this namespace, has ended."""
    found = _NAME.fullmatch(name)
    if found is None or found["namespace"] != str(_namespace()):
        return False
    pid = int(found["pid"])
    if fields := stat_fields(pid):
        return fields[_START] != found["started"] or fields[_STATE] == "Z"
    return not _exists(pid)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _room() -> str:
    try:
        found = os.statvfs(_FOLDER)
    except OSError as error:
        return str(error.strerror)
    return f"room for {described_size(found.f_bavail * found.f_frsize)}"


class SharedTensors:
    """The tensors of all kinds in one region, which every server of a run maps."""

    def __init__(self) -> None:
        """Take no memory yet."""
        self._inputs: list[list[_Input]] = []
        self.region: Region | None = None
        """None before a server was offered it."""

    def offer(
        self, client: Client, address: HttpAddress, workload: Workload, extensions: Sequence[str]
    ) -> None:
        """Have a server map the region, which is filled for the first one.

        What ended processes left is removed before. ServerError if the server, which announces
        `extensions`, cannot map it; ConfigError if there is no room, or a tensor cannot be read.
        """
        if EXTENSION not in extensions:
            raise ServerError(
                f"{address} does not announce the extension {EXTENSION}, as Triton does: leave out "
                "`shared_memory`"
            )
        found = client.regions()
        for name in filter(is_abandoned, found):
            client.unregister_region(name)
        region = self.region or self._fill(workload)
        if region.name not in found:  # by another address of the same server
            register(client, region)

    def _fill(self, workload: Workload) -> Region:
        remove_abandoned()
        end = 0
        for kind in workload.kinds:
            inputs = []
            for number in range(len(kind.inputs)):
                inputs.append(_Input(kind, number, workload.most_requests, aligned(end)))
                end = inputs[-1].end
            self._inputs.append(inputs)
        self.region = Region(end)
        for inputs in self._inputs:
            for one in inputs:
                one.store_in(self.region)
        return self.region

    def places(self, kind: int, number: int) -> list[Place]:
        """Return where the inputs of a kind's request are."""
        assert self.region is not None
        return [Place(self.region.name, *one.place(number)) for one in self._inputs[kind]]


def register(client: Client, region: Region) -> None:
    """Have a server map a region; ServerError, with what that takes, if it cannot."""
    try:
        client.register_region(region.name, region.key, region.size_bytes)
    except ServerError as error:
        raise ServerError(
            f"{error}: the server has to run on this machine, see the same /dev/shm, and be "
            "allowed to open what this user stores there; or leave out `shared_memory`"
        ) from error


def aligned(offset: int) -> int:
    """Return where a tensor may start from an offset on."""
    return -(-offset // ALIGNED_BYTES) * ALIGNED_BYTES


class _Input:
    """The tensors of an input in the order in which requests send them.

    A request's are one after another: the first ones come again behind the last one, for requests
    that go over the end.
    """

    def __init__(self, kind: AskedKind, number: int, most_requests: int, offset: int) -> None:
        """Lay out the tensors that `most_requests` send, 0 for any number, from an offset on."""
        self._tensors = kind.tensors[number]
        self._count = len(self._tensors)
        self._first, self._batch = kind.first, kind.per_request
        kept = most_requests * self._batch
        if not 0 < kept <= self._count:
            kept = self._count + (self._batch - 1 if self._count % self._batch else 0)
        self._starts: Sequence[int]
        """Of each tensor, and the end of the last one."""
        if kind.inputs[number].dtype == STRINGS:
            self._starts = array("Q", [offset])
            for place in range(kept):
                self._starts.append(self._starts[-1] + len(self._read(place, 1)))
        else:
            tensor_bytes = len(self._read(0, 1))
            self._starts = range(offset, offset + kept * tensor_bytes + 1, tensor_bytes)

    @property
    def end(self) -> int:
        """Return where the last tensor ends."""
        return self._starts[-1]

    def _read(self, place: int, count: int) -> bytes:
        return self._tensors.read((self._first + place) % self._count, count)

    def store_in(self, region: Region) -> None:
        """Copy the tensors; ConfigError if one cannot be read."""
        kept = len(self._starts) - 1
        step = max(1, kept * PIECE_BYTES // (self.end - self._starts[0]))
        for place in range(0, kept, step):
            region.write(self._starts[place], self._read(place, min(step, kept - place)))

    def place(self, number: int) -> tuple[int, int]:
        """Return where a request's tensors are, and their size in bytes."""
        first = number * self._batch % self._count
        start = self._starts[first]
        return start, self._starts[first + self._batch] - start


class SharedOutputs:
    """A region for the outputs that one server writes."""

    def __init__(self, kinds: Sequence[Sequence[OipOutput]], workers: Sequence[int]) -> None:
        """Reserve a slot for each of the `workers`, as large as the largest kind's outputs.

        ConfigError if there is no room, or if outputs are of strings, whose sizes differ.
        """
        self._offsets = [_laid_out(outputs) for outputs in kinds]
        self._slots = {worker: slot for slot, worker in enumerate(workers)}
        self._slot_bytes = aligned(max(offsets[-1] for offsets in self._offsets))
        self.region = Region(self._slot_bytes * len(workers))
        self._memory = self.region.memory()

    def offer(self, client: Client) -> None:
        """Have the server map the region; ServerError if it cannot."""
        register(client, self.region)
        self.region.unlink()

    def places(self, kind: int, worker: int) -> list[Place]:
        """Return where the outputs of a kind go in a worker's slot."""
        slot = self._slots[worker] * self._slot_bytes
        *starts, _ = offsets = self._offsets[kind]
        return [
            Place(self.region.name, slot + start, offset - start)
            for start, offset in zip(starts, offsets[1:], strict=True)
        ]

    def written(self, worker: int) -> memoryview:
        """Return a worker's slot."""
        slot = self._slots[worker] * self._slot_bytes
        return self._memory[slot : slot + self._slot_bytes]


def _laid_out(outputs: Sequence[OipOutput]) -> list[int]:
    """Return where each output starts in a slot, and where the last one's room ends."""
    offsets = [0]
    for one in outputs:
        if one.dtype == STRINGS:
            raise ConfigError(
                f"`shared_memory` all: output {one.name} is of strings, whose sizes differ; give "
                "`shared_memory` inputs"
            )
        offsets.append(aligned(offsets[-1] + one.output_bytes))
    return offsets
