"""How many instructions a request takes in user space, counted by valgrind.

The count does not depend on how fast the machine is or on what else runs there.
"""

import re
import subprocess
from pathlib import Path

# The driver's main thread reads figures once in this time, which is not what a request costs.
LOOK_NEVER = "LOOK_EVERY_NS=(60*NS_PER_S)"
# A reply that is late because the machine is busy does not fail the count.
PATIENT = "REPLY_TIMEOUT_NS=(60*NS_PER_S)"
IO_THREADS_ALONE = "--toggle-collect=iothread_main"


def counted(tensor_bytes: int) -> tuple[str, ...]:
    """Return the macros of a driver whose instructions are counted."""
    return (LOOK_NEVER, PATIENT, f"TENSOR_BYTES={tensor_bytes}")


def instructions_per_request(
    driver: Path,
    port: int,
    tensors: Path,
    *,
    workers: int,
    threads: int,
    requests: tuple[int, int],
    protocol: str = "resp",
) -> float:
    """Count in the I/O threads of two runs of different lengths; return what one request adds.

    Raises RuntimeError where a request failed, CalledProcessError where the driver did.
    """
    short, long = requests
    counts = [
        _instructions(driver, port, tensors, workers, threads, length, protocol)
        for length in (short, long)
    ]
    return (counts[1] - counts[0]) / (long - short)


def _instructions(
    driver: Path,
    port: int,
    tensors: Path,
    workers: int,
    threads: int,
    requests: int,
    protocol: str,
) -> int:
    without_end, without_rate, pipeline, kinds = 0, 0, 1, 1
    arguments = (
        port, workers, threads, requests, tensors, without_end, without_rate, pipeline, kinds,
        protocol,
    )  # fmt: skip
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", IO_THREADS_ALONE,
         driver, *map(str, arguments)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    ended, successes, *_ = map(int, done.stdout.split())
    if (ended, successes) != (requests, requests - workers):  # the first of each is burn-in
        raise RuntimeError(f"of {requests} requests {ended} ended, {successes} well: {done.stderr}")
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found is not None, done.stderr
    return int(found[1])
