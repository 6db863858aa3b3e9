"""The body of a request, made from a line of prompts before the clock starts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aibench_fast.errors import ConfigError

CHAT = "/chat/completions"
COMPLETIONS = "/completions"
_GIVEN = ("messages", "prompt", "text")


def is_chat(target: str) -> bool:
    """Return whether a URL's path is of chats, and not of plain completions.

    ConfigError if it is neither.
    """
    path = target.partition("?")[0].rstrip("/")
    if path.endswith(CHAT):
        return True
    if path.endswith(COMPLETIONS):
        return False
    raise ConfigError(
        f"`prompts` with `url` .../{path.lstrip('/')}: write a URL that ends with "
        f"/v1{CHAT} or /v1{COMPLETIONS}"
    )


def read_extra(file: Path | None) -> Mapping[str, Any]:
    """Read the further fields of every request; ConfigError if they are no JSON object."""
    if file is None:
        return {}
    try:
        fields = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read `extra_body` {file}: {error}") from error
    if not isinstance(fields, dict):
        raise ConfigError(f"`extra_body` {file}: it has to be a JSON object")
    return fields


def body_of(
    line: bytes, *, chat: bool, model: str, output_tokens: int | None, extra: Mapping[str, Any]
) -> bytes:
    """Return the body that asks for a stream; ConfigError if the line has no prompt."""
    try:
        prompt = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"`prompts`: a line is not JSON: {error}") from error
    given = [key for key in _GIVEN if isinstance(prompt, dict) and key in prompt]
    if len(given) != 1:
        raise ConfigError(
            f"`prompts`: a line has {' and '.join(given) or 'no prompt'}; give one of "
            f"{', '.join(_GIVEN)}"
        )
    value = prompt[given[0]]
    if given == ["messages"] and not chat:
        raise ConfigError(f"`prompts`: a line has messages, which are for {CHAT} alone")
    asked = {"messages": _messages(value)} if chat else {"prompt": value}
    most = prompt.get("max_tokens", output_tokens)
    document = {
        "model": model,
        **asked,
        "stream": True,
        "stream_options": {"include_usage": True},
        **({} if most is None else {"max_tokens": most}),
        **extra,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _messages(value: Any) -> Any:
    return value if isinstance(value, list) else [{"role": "user", "content": value}]
