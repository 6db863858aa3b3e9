"""How far the monotonic clocks of other machines are from this one's."""

import secrets
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

NS_PER_S = 1e9
EXCHANGES = 10
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIME_NAMESPACE = Path("/proc/self/timens_offsets")


class Exchange(NamedTuple):
    """A question for the time; `sent_ns` and `received_ns` are of the clock here."""

    sent_ns: int
    there_ns: int
    received_ns: int


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


def offset(exchanges: Iterable[Exchange]) -> Offset:
    """Return the offset by the exchange that took the shortest time, as NTP chooses.

    Its answer was given somewhere between question and receipt: half of that time is the
    uncertainty (RFC 5905, section 8).
    """
    best = min(exchanges, key=lambda one: one.received_ns - one.sent_ns)
    took_ns = best.received_ns - best.sent_ns
    return Offset(best.there_ns - (best.sent_ns + took_ns // 2), -(-took_ns // 2))


def measure(ask: Callable[[], int]) -> Offset:
    """Return the offset of the clock that `ask` reads, by some exchanges."""
    now_ns = time.monotonic_ns
    return offset(Exchange(now_ns(), ask(), now_ns()) for _ in range(EXCHANGES))
