"""A benchmark client for model servers that speak RedisAI's commands."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aibench_fast.errors import AibenchError, ConfigError, InternalError, ServerError
from aibench_fast.results.notebook import show_with

if TYPE_CHECKING:
    from aibench_fast.clients.runner import run
    from aibench_fast.load.config import RunConfig
    from aibench_fast.protocols.address import ServerAddress, TlsSettings
    from aibench_fast.results.compare import compare
    from aibench_fast.results.folder import read_results
    from aibench_fast.results.result import Result
    from aibench_fast.studies.repeat import repeat
    from aibench_fast.studies.search import search
    from aibench_fast.studies.sweep import sweep

    __version__: str

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
    "repeat",
    "run",
    "search",
    "sweep",
]

# Each is imported when it is first used: the command line starts in a moment, and a result can be
# read where the native core is not built.
_MODULES = {
    "Result": "aibench_fast.results.result",
    "RunConfig": "aibench_fast.load.config",
    "ServerAddress": "aibench_fast.protocols.address",
    "TlsSettings": "aibench_fast.protocols.address",
    "compare": "aibench_fast.results.compare",
    "read_results": "aibench_fast.results.folder",
    "repeat": "aibench_fast.studies.repeat",
    "run": "aibench_fast.clients.runner",
    "search": "aibench_fast.studies.search",
    "sweep": "aibench_fast.studies.sweep",
}


def __getattr__(name: str) -> Any:
    """Import a name that the package offers when it is first used."""
    if name == "__version__":
        from importlib.metadata import version

        return version("aibench-fast")
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _to_html(value: object) -> str:
    html: str = import_module("aibench_fast.report.notebook").html(value)
    return html


show_with(_to_html)
