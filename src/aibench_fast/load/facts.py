"""The facts that figures depend on beside the server's speed: machine, software, bytes sent.

Nothing here is done while a run is measured.
"""

import hashlib
import os
import socket
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

PIECE_BYTES = 1 << 20
_CPU_INFO = Path("/proc/cpuinfo")
_GOVERNORS = Path("/sys/devices/system/cpu")


def host_facts() -> dict[str, Any]:
    """Return facts of this machine and its software; None for what cannot be read."""
    system = os.uname()
    implementation = sys.implementation.name
    return {
        "Host": socket.gethostname(),
        "CpuModel": _cpu_model(),
        "Cores": len(os.sched_getaffinity(0)),
        "Governor": _governor(),
        "Kernel": f"{system.sysname} {system.release}",
        "Python": f"{implementation} {'.'.join(map(str, sys.version_info[:3]))}",
        "Package": version("aibench-fast"),
    }


def _cpu_model() -> str | None:
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return os.uname().machine  # ARM names none


def _governor() -> str | None:
    """Return the frequency governor of the cores; several are joined by commas."""
    found = set()
    for file in _GOVERNORS.glob("cpu[0-9]*/cpufreq/scaling_governor"):
        try:
            found.add(file.read_text().strip())
        except OSError:
            return None
    return ",".join(sorted(found)) or None


class Generated(Protocol):
    """Tensors in memory."""

    def __len__(self) -> int:
        """How many there are."""

    def read(self, first: int, count: int) -> bytes:
        """`count` of them from index `first` on."""


def generated_digest(tensors: Generated, tensor_bytes: int) -> str:
    """Return the SHA-256 of all generated tensors one after another, in hexadecimal."""
    digest = hashlib.sha256()
    step = max(1, PIECE_BYTES // tensor_bytes)
    for first in range(0, len(tensors), step):
        digest.update(tensors.read(first, min(step, len(tensors) - first)))
    return digest.hexdigest()
