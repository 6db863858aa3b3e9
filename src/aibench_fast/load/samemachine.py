"""Whether a server runs on the machine of this client."""

import ipaddress
import socket


def on_same_machine(peer: str) -> bool:
    """Return whether a server is here, by its numeric address, which is empty for a unix socket."""
    if not peer:
        return True
    address = ipaddress.ip_address(peer)
    return address.is_loopback or _own_address_towards(address) == peer


def _own_address_towards(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return from where a connection to it would come; nothing is sent."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((str(address), 9))
        except OSError:
            return ""
        return str(asking.getsockname()[0])
