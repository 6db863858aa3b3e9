"""Finds whether a progressive JPEG (ITU-T T.81, annex G) lacks its last scans.

Decoders silently make a picture with less detail from an incomplete file.
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
"""All markers but those in the data of a scan: RST, and a stuffed zero behind 0xFF."""


def lacks_scans(data: bytes) -> bool:
    """Return whether a progressive JPEG lacks its first component or the low bits of any.

    The first component is the brightness; a grey picture needs no other. False for other JPEGs, and
    if the markers cannot be followed.
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
    """Return the scan headers of the first picture, if it is progressive."""
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
