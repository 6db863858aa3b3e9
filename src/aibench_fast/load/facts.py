"""The facts that figures depend on beside the server's speed: machine, software, bytes sent.

Nothing here is done while a run is measured.
"""

import os
import socket
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

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
