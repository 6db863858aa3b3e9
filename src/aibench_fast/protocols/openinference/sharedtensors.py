"""The inputs of a run in shared memory, and the outputs of its servers: where each is."""

from array import array
from collections.abc import Sequence

from aibench_fast.coretypes import OipOutput
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.client import Client, Place
from aibench_fast.protocols.session import AskedKind, Workload
from aibench_fast.protocols.sharedmemory import Region, is_abandoned, remove_abandoned
from aibench_fast.tensortype import STRINGS

EXTENSION = "system_shared_memory"
ALIGNED_BYTES = 64
PIECE_BYTES = 1 << 20
"""About this much is copied at a time."""


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
        source = kind.tensors
        self._tensors = source.inputs[number]
        self._count = len(self._tensors)
        self._first, self._batch = source.first, source.batch_size
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
