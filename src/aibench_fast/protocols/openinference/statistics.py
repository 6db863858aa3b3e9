"""Reads Triton's counters of its models, by its statistics extension.

Names, beside `period_s` and `notes`, as `protocols.statistics` has them over a stretch of time:

    model_calls, model_samples      requests that succeeded, and inferences in them
    model_errors                    requests that failed
    model_executions                what ran at once: fewer than inferences where Triton batches
    model_duration_us               of all requests, from their arrival to their response
    model_queue_us, model_input_us, and its parts: waiting, making the input ready,
    model_infer_us, model_output_us running the model, making the output ready
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from aibench_fast.errors import ServerError, misread
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.client import Client, Connect
from aibench_fast.protocols.statistics import ServerReading

EXTENSION = "statistics"
PROBE_TIMEOUT_S = 2.0
NS_PER_US = 1000
_PARTS = {
    "success": "model_duration_us",
    "queue": "model_queue_us",
    "compute_input": "model_input_us",
    "compute_infer": "model_infer_us",
    "compute_output": "model_output_us",
}


class TritonReader:
    """Reads the counters of a server's models on a connection of its own."""

    def __init__(
        self, connect: Connect, address: HttpAddress, models: Sequence[str], version: str | None
    ) -> None:
        """Connect; ServerError where nothing answers."""
        self._connect = connect
        self._address = address
        self._models = models
        self._version = version
        self._client: Client | None = connect(address, PROBE_TIMEOUT_S)

    def read(self) -> ServerReading:
        """Ask for each model's statistics, on a new connection where the old one was spoilt."""
        now_s = time.monotonic()
        counters: dict[str, float] = {}
        try:
            if self._client is None:
                self._client = self._connect(self._address, PROBE_TIMEOUT_S)
            for name in self._models:
                for model in self._client.statistics(name, self._version)["model_stats"]:
                    _add(counters, model)
        except ServerError as error:
            return self._failed(now_s, str(error))
        except (KeyError, TypeError, AttributeError) as error:
            return self._failed(
                now_s,
                f"{self._address} has no statistics of {name} as Triton does: {misread(error)}",
            )
        return ServerReading(now_s, counters)

    def _failed(self, now_s: float, why: str) -> ServerReading:
        self.close()
        return ServerReading(now_s, notes=(f"no reading: {why}",))

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
        self._client = None


def _add(counters: dict[str, float], model: Mapping[str, Any]) -> None:
    """Add what one version of a model counted."""
    counted = model["inference_stats"]
    found = {
        "model_calls": counted["success"]["count"],
        "model_errors": counted["fail"]["count"],
        "model_samples": model["inference_count"],
        "model_executions": model["execution_count"],
    } | {ours: counted[theirs]["ns"] / NS_PER_US for theirs, ours in _PARTS.items()}
    for name, value in found.items():
        counters[name] = counters.get(name, 0) + value
