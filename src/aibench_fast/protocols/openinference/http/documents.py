"""JSON from a server, parsed within bounds: values take far more memory than their text."""

import json
from typing import Any

MAX_TEXT_BYTES = 64 << 20
MAX_CONTAINERS = 1 << 20
"""Arrays and objects; of numbers the text's length is limit enough."""


class TooMuch(ValueError):
    """A JSON text is too large, or nested too deep."""


def parsed(text: bytes) -> Any:
    """Parse a JSON text; ValueError if it is not JSON, TooMuch if it is too large."""
    if len(text) > MAX_TEXT_BYTES:
        raise TooMuch(f"more than {MAX_TEXT_BYTES:,} bytes of JSON")
    if text.count(b"[") + text.count(b"{") > MAX_CONTAINERS:
        raise TooMuch(f"more than {MAX_CONTAINERS:,} arrays and objects")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise TooMuch("arrays and objects nested too deep") from error
