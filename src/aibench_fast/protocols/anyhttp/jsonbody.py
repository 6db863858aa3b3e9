"""Bodies and lines of JSON, and how messages show them."""

import json
from typing import Any

from aibench_fast.errors import ConfigError

SHOWN_BYTES = 60


def read_json(text: bytes, setting: str) -> Any:
    """Return what a line or a body of a setting's file is as JSON; ConfigError if it is none."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"`{setting}`: {shown(text)} is not JSON: {error}") from error


def shown(text: bytes) -> str:
    """Return the beginning of a line or a body for a message."""
    return text[:SHOWN_BYTES].decode("utf-8", "replace") + ("..." if text[SHOWN_BYTES:] else "")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")
