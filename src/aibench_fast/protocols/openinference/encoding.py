"""How tensors are written in requests and replies."""

from enum import StrEnum


class Encoding(StrEnum):
    """One of the protocol's two."""

    BINARY = "binary"
    """As they are in memory, behind a request's JSON; an extension of the protocol."""
    JSON = "json"
    """As decimal numbers in it, which every server takes."""
