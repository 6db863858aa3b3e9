"""The scans of a progressive JPEG (ITU-T T.81, annex G): whether its last ones are there.

Decoders take what there is, and make a picture without its detail of it.
"""

import re
from collections.abc import Iterator

COEFFICIENTS = 64
PROGRESSIVE = 0xC2
START_OF_SCAN = 0xDA
END = 0xD9
NEVER = -1
_NO_LENGTH = (0x01, *range(0xD0, 0xD9))
"""TEM, RST0 to RST7 and SOI."""
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])", re.DOTALL)
"""But those within a scan's data: a zero behind 0xFF, which stuffs, and RST."""


def lacks_scans(data: bytes) -> bool:
    """Whether a progressive JPEG lacks a part of its first component, or the low bits of any.

    The first component is the brightness; of the others a grey picture needs nothing. False for any
    other JPEG, and where the markers cannot be followed.
    """
    bits: dict[int, list[int]] = {}
    first = NEVER
    for header in _scan_headers(data):
        *components, begin, end, approximation = header[1:]
        low = approximation & 0xF
        for component in components[::2]:
            first = component if first == NEVER else first
            known = bits.setdefault(component, [NEVER] * COEFFICIENTS)
            known[begin : end + 1] = [low] * (end + 1 - begin)
    return any(low > 0 for known in bits.values() for low in known) or NEVER in bits.get(first, ())


def _scan_headers(data: bytes) -> Iterator[bytes]:
    """The first picture's scan headers, if it is progressive."""
    at = 2
    is_progressive = False
    while found := _MARKER.search(data, at):
        marker, at = found[1][0], found.end()
        if marker in _NO_LENGTH:
            continue
        if marker == END:
            return
        length = int.from_bytes(data[at : at + 2], "big")
        segment = data[at + 2 : at + length]
        at += max(2, length)
        is_progressive |= marker == PROGRESSIVE
        if marker == START_OF_SCAN:
            if not is_progressive or not _is_scan(segment):
                return
            yield segment


def _is_scan(segment: bytes) -> bool:
    return bool(segment) and len(segment) == 4 + 2 * segment[0] and segment[-2] < COEFFICIENTS
