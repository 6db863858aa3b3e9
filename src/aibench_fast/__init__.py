"""A benchmark client for model servers that speak RedisAI's commands."""

from importlib.metadata import version

from aibench_fast.config import RunConfig
from aibench_fast.control import ServerAddress
from aibench_fast.errors import AibenchError, ConfigError, InternalError, ServerError
from aibench_fast.result import Result
from aibench_fast.run import run

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
