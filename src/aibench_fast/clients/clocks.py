"""How far the monotonic clocks of other machines are from this one's."""

import secrets
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

NS_PER_S = 1e9
EXCHANGES = 10
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIME_NAMESPACE = Path("/proc/self/timens_offsets")


class Offset(NamedTuple):
    """A clock there less the one here."""

    ns: int
    uncertainty_ns: int
    """How far from the truth that may be, either way."""

    def there(self, here_ns: int) -> int:
        """Return the time there when it is `here_ns` here."""
        return here_ns + self.ns


SAME_CLOCK = Offset(0, 0)


@cache
def clock_id() -> str:
    """Name this machine's monotonic clock: the boot's, as this time namespace sees it.

    Where the boot has no readable id, the name is this process's own: its clock is then measured.
    """
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        return f"of the process {secrets.token_hex(16)}"
    try:
        namespace = " ".join(_TIME_NAMESPACE.read_text().split())
    except OSError:  # a kernel without them
        namespace = ""
    return f"{boot} {namespace}"


def measure(ask: Callable[[], int], now_ns: Callable[[], int] = time.monotonic_ns) -> Offset:
    """Return the offset of the clock that `ask` reads from that of `now_ns`.

    Of some exchanges the one that took the shortest time counts, as NTP chooses. Its answer was
    given somewhere between question and receipt: half of that time is the uncertainty (RFC 5905,
    section 8).
    """
    exchanges = [(now_ns(), ask(), now_ns()) for _ in range(EXCHANGES)]
    sent_ns, there_ns, received_ns = min(exchanges, key=lambda one: one[2] - one[0])
    took_ns = received_ns - sent_ns
    return Offset(there_ns - (sent_ns + took_ns // 2), -(-took_ns // 2))
