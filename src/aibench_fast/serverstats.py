"""What a server says of itself: who it is, and what it counted over a run."""

from collections.abc import Mapping
from typing import Any

import redis

from aibench_fast.control import ServerAddress, call
from aibench_fast.errors import ServerError
from aibench_fast.result import ServerFacts

REDISAI_MODULE = b"ai"
EMBEDDED_MARK = "ai_embedded"
_COUNTED = ("duration", "samples", "calls", "errors")


def server_facts(client: redis.Redis, address: ServerAddress) -> ServerFacts:
    """Ask which server this is; what it does not tell is called unknown."""
    info = call(client, address, "INFO", "server")
    base = "valkey" if "valkey_version" in info else "redis"
    version = info.get(f"{base}_version", "unknown")
    modules = _optional(client, address, "INFO", "modules") or {}
    embedded = any(key.startswith(EMBEDDED_MARK) for key in modules)
    return ServerFacts(
        kind="aibench-fast embedded server" if embedded else "RedisAI",
        version=f"{_module_version(client, address)} on {base} {version}",
        address=str(address),
    )


def _module_version(client: redis.Redis, address: ServerAddress) -> str:
    """RedisAI's version, which MODULE LIST gives as 10207 for 1.2.7."""
    for module in _optional(client, address, "MODULE", "LIST") or ():
        facts = dict(zip(module[::2], module[1::2], strict=False))
        if facts.get(b"name") == REDISAI_MODULE and (number := int(facts.get(b"ver", 0))):
            return f"{number // 10000}.{number // 100 % 100}.{number % 100}"
    return "unknown"


def _optional(client: redis.Redis, address: ServerAddress, *arguments: str) -> Any:
    """Return the reply to a command that a server may refuse without harm; None where it does."""
    try:
        return call(client, address, *arguments)
    except ServerError:
        return None


def model_counts(
    client: redis.Redis, address: ServerAddress, model: str
) -> Mapping[str, int] | None:
    """Return AI.INFO's counts of a model, duration in microseconds; None where it has none."""
    reply = _optional(client, address, "AI.INFO", model)
    if reply is None:
        return None
    facts = dict(zip(reply[::2], reply[1::2], strict=False))
    return {name: int(facts.get(name.encode(), 0)) for name in _COUNTED}


def counts_between(
    before: Mapping[str, int] | None, after: Mapping[str, int] | None
) -> dict[str, Any]:
    """What a server counted between two readings, or why that is not known."""
    if before is None or after is None:
        return {"AI.INFO": None}
    return {"AI.INFO": {name: after[name] - before[name] for name in _COUNTED}}
