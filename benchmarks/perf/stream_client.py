"""`python -m benchmarks.perf.stream_client`: a run of ours in a process of its own, with its log.

It prints JSON: what the run cost, what it reports, and when it began.
"""

import argparse
import json
import re
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from aibench_fast import _core
from aibench_fast.load.runner import PreparedRun
from aibench_fast.results.events import ignore
from aibench_fast.server.tokenlog import DONE, Records
from benchmarks.perf import stream_clients


def main() -> None:
    """Parse the options, run, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--output-tokens", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warm-up", type=int, required=True, metavar="REQUESTS")
    parser.add_argument("--log-entries", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    given = parser.parse_args()
    config = stream_clients.config(
        given.log.parent, given.url, given.streams, given.output_tokens,
        burn_in=given.warm_up, duration_s=given.seconds,
    )  # fmt: skip
    made = []

    def logging_generator(**settings: Any) -> _core.LoadGenerator:
        made.append(_generator(**settings, event_log_entries=given.log_entries))
        return made[-1]

    _generator = _core.LoadGenerator
    with (
        mock.patch.object(_core, "LoadGenerator", logging_generator),
        PreparedRun(config, ignore) as prepared,
    ):
        began_ns = time.monotonic_ns()
        before_s = time.process_time()
        result = prepared.measure()
        cpu_s = time.process_time() - before_s
        peak_bytes = _peak_bytes()
        (generator,) = made
        log = generator.event_log()
    np.save(given.log, log)
    found = {
        "began_ns": began_ns, "cpu_s": cpu_s,
        "event_cpu_s": result.client.cpu_s / _events_with_cpu(log, given.warm_up),
        "peak_bytes": peak_bytes, "failed": result.failed,
        "tokens_per_s": result.tokens.output_tokens_per_s,
    }  # fmt: skip
    print(json.dumps(found))


def _events_with_cpu(log: Records, warm_up: int) -> int:
    """Return the events after the first measured reply's end: CPU time counts from there."""
    ends_ns = np.sort(log["came_ns"][(log["flags"] & DONE) != 0])
    return int(np.count_nonzero(log["came_ns"] > ends_ns[warm_up]))


def _peak_bytes() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


if __name__ == "__main__":
    main()
