"""The body of a request, made from a line of prompts before the clock starts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aibench_fast.errors import ConfigError, misread
from aibench_fast.protocols.openai.settings import Api

PATHS = {"/chat/completions": Api.CHAT, "/completions": Api.COMPLETIONS}
"""The ends of URLs; the first one that fits."""
_GIVEN = ("messages", "prompt", "text")
_OWN = ("model", "stream", *_GIVEN)
"""The fields that requests have from elsewhere."""
SHOWN_BYTES = 60


def api_of(target: str) -> Api | None:
    """Return the API that a URL's path and query are of, by the path's end; None: of neither."""
    path = path_of(target)
    return next((api for end, api in PATHS.items() if path.endswith(end)), None)


def models_path(target: str) -> str:
    """Return the path of the list of models beside a URL's path."""
    path = path_of(target)
    begin = next((path.removesuffix(end) for end in PATHS if path.endswith(end)), "/v1")
    return f"{begin}/models"


def path_of(target: str) -> str:
    """Return a path without its query and without a slash at its end."""
    return target.partition("?")[0].rstrip("/")


def read_extra(file: Path | None) -> Mapping[str, Any]:
    """Read the further fields of every request; ConfigError if they are no JSON object."""
    if file is None:
        return {}
    try:
        fields = _read_json(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read `extra_body` {file}: {misread(error)}") from error
    except ConfigError as error:
        raise ConfigError(f"`extra_body` {file}: {misread(error)}") from error
    if not isinstance(fields, dict):
        raise ConfigError(f"`extra_body` {file}: it has to be a JSON object")
    own = [name for name in _OWN if name in fields]
    if own:
        raise ConfigError(
            f"`extra_body` {file} has {own[0]}, which each request has already; leave it out"
        )
    return fields


def body_of(
    line: bytes, *, api: Api, model: str, output_tokens: int | None, extra: Mapping[str, Any]
) -> bytes:
    """Return the body that asks for a stream; ConfigError if the line is not a prompt."""
    prompt = _read_json(line)
    given = [key for key in _GIVEN if isinstance(prompt, dict) and key in prompt]
    if len(given) != 1:
        found = " and ".join(given) or "no prompt"
        raise _wrong(line, f"has {found}; give one of {', '.join(_GIVEN)}")
    most = prompt.get("max_tokens")
    if most is None:
        most = output_tokens
    elif type(most) is not int or most < 1:
        raise _wrong(line, "has max_tokens that are not a whole number from 1 on")
    document = {
        "model": model,
        **_asked(line, given[0], prompt[given[0]], api),
        "stream": True,
        "stream_options": {"include_usage": True},
        **({} if most is None else {"max_tokens": most}),
        **extra,
    }
    try:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise _wrong(line, "has half a character, a surrogate alone") from error


def _asked(line: bytes, key: str, value: Any, api: Api) -> dict[str, Any]:
    """Return the field of the body that has the prompt."""
    if key == "messages":
        if api != Api.CHAT:
            raise _wrong(line, f"has messages, which are for {Api.CHAT} alone")
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise _wrong(line, "has messages that are not a list of objects")
        return {"messages": value}
    if api == Api.CHAT:
        if not isinstance(value, str):
            raise _wrong(line, f"has a {key} that is not a string")
        return {"messages": [{"role": "user", "content": value}]}
    is_tokens = isinstance(value, list) and all(type(one) is int for one in value)
    if not isinstance(value, str) and not (key == "prompt" and value and is_tokens):
        raise _wrong(line, f"has a {key} that is not a string, or for prompt a list of tokens")
    return {"prompt": value}


def _wrong(line: bytes, what: str) -> ConfigError:
    return ConfigError(f"{_shown(line)} {what}")


def _read_json(text: bytes) -> Any:
    """Return what a file or a line is as JSON; ConfigError if it is none."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{_shown(text)} is not JSON: {error}") from error


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


def _shown(text: bytes) -> str:
    return text[:SHOWN_BYTES].decode("utf-8", "replace") + ("..." if text[SHOWN_BYTES:] else "")
