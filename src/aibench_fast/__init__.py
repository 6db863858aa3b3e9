"""A benchmark client for model servers that speak RedisAI's commands."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from aibench_fast.errors import AibenchError, ConfigError, InternalError, ServerError
from aibench_fast.load.config import RunConfig
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.results.result import Result

if TYPE_CHECKING:
    from aibench_fast.load.runner import run

__all__ = [
    "AibenchError",
    "ConfigError",
    "InternalError",
    "Result",
    "RunConfig",
    "ServerAddress",
    "ServerError",
    "run",
]

__version__ = version("aibench-fast")


def __getattr__(name: str) -> Any:
    # A result can be read where the native core is not built, so only a run imports it.
    if name == "run":
        from aibench_fast.load.runner import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
