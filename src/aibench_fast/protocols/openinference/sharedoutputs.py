"""The outputs of a server in shared memory: each worker's have a place of their own."""

from collections.abc import Sequence

from aibench_fast.coretypes import OipOutput
from aibench_fast.errors import ConfigError
from aibench_fast.protocols.openinference.client import Client, Place
from aibench_fast.protocols.openinference.sharedtensors import aligned, register
from aibench_fast.protocols.sharedmemory import Region
from aibench_fast.tensortype import STRINGS


class SharedOutputs:
    """A region for the outputs that one server writes."""

    def __init__(self, kinds: Sequence[Sequence[OipOutput]], workers: Sequence[int]) -> None:
        """Reserve a slot for each of the `workers`, as large as the largest kind's outputs.

        ConfigError if there is no room, or if outputs are of strings, whose sizes differ.
        """
        self._offsets = [_laid_out(outputs) for outputs in kinds]
        self._slots = {worker: slot for slot, worker in enumerate(workers)}
        self._slot_bytes = aligned(max(offsets[-1] for offsets in self._offsets))
        self._region = Region(self._slot_bytes * len(workers))
        self._memory = self._region.memory()

    @property
    def size_bytes(self) -> int:
        """Return the size of the region."""
        return self._region.size_bytes

    def offer(self, client: Client) -> None:
        """Have the server map the region; ServerError if it cannot."""
        register(client, self._region)
        self._region.unlink()

    def withdraw(self, client: Client) -> None:
        """Have the server forget the region; ServerError if it does not answer."""
        client.unregister_region(self._region.name)

    def places(self, kind: int, worker: int) -> list[Place]:
        """Return where the outputs of a kind go in a worker's slot."""
        slot = self._slots[worker] * self._slot_bytes
        *starts, _ = offsets = self._offsets[kind]
        return [
            Place(self._region.name, slot + start, offset - start)
            for start, offset in zip(starts, offsets[1:], strict=True)
        ]

    def written(self, worker: int) -> memoryview:
        """Return a worker's slot."""
        slot = self._slots[worker] * self._slot_bytes
        return self._memory[slot : slot + self._slot_bytes]

    def close(self) -> None:
        """Free the region as far as this process can; may be called again."""
        self._region.close()


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
