"""Whether a server runs beside this client, on the cores that the client may use."""

import ipaddress
import os
import socket
from pathlib import Path

_PROC = Path("/proc")


def on_same_machine(peer: str) -> bool:
    """Whether a server is here, by its numeric address, which is empty for a unix socket."""
    if not peer:
        return True
    address = ipaddress.ip_address(peer)
    return address.is_loopback or _own_address_towards(address) == peer


def shares_cores(server_pid: int | None) -> bool:
    """Whether some thread of a server on this machine may run on a core of ours.

    Of a process that is not known, or not seen from here, that is taken for granted.
    """
    if server_pid is None:
        return True
    own = os.sched_getaffinity(0)
    theirs: set[int] = set()
    try:
        for task in (_PROC / str(server_pid) / "task").iterdir():
            theirs |= os.sched_getaffinity(int(task.name))
    except OSError:
        return True
    return bool(own & theirs)


def _own_address_towards(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """From where a connection to it would come; nothing is sent."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((str(address), 9))
        except OSError:
            return ""
        return str(asking.getsockname()[0])
