"""The forms in which tensors are sent."""

from enum import StrEnum


class Encoding(StrEnum):
    """How the values of a tensor are written in a request."""

    BINARY = "binary"
    """As they are in memory."""
    JSON = "json"
    """As decimal numbers, which every server of the Open Inference Protocol takes."""
