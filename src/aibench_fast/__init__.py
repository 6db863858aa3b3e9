"""A benchmark client for model servers that speak RedisAI's commands."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from aibench_fast.errors import AibenchError, ConfigError, InternalError, ServerError
from aibench_fast.load.config import RunConfig
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.tls import TlsSettings
from aibench_fast.results.result import Result

if TYPE_CHECKING:
    from aibench_fast.clients.runner import run
    from aibench_fast.results.compare import compare
    from aibench_fast.results.folder import read_results

__all__ = [
    "AibenchError",
    "ConfigError",
    "InternalError",
    "Result",
    "RunConfig",
    "ServerAddress",
    "ServerError",
    "TlsSettings",
    "compare",
    "read_results",
    "run",
]

__version__ = version("aibench-fast")


# A result can be read where the native core is not built, so only a run imports it; and what
# compares results needs NumPy, which a run does without.
_LATER = {
    "compare": "aibench_fast.results.compare",
    "read_results": "aibench_fast.results.folder",
    "run": "aibench_fast.clients.runner",
}


def __getattr__(name: str) -> Any:
    """Import what is offered here when it is first asked for."""
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
