"""C programs built on the spot: with the client's native sources, its C libraries, or both."""

import fcntl
import hashlib
import os
import re
import resource
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from vendored_sources import Sources

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "src" / "aibench_fast" / "native"
PIXELS = ROOT / "src" / "aibench_fast" / "tensors" / "native"
DRIVER = [ROOT / "tests" / "native" / f"{name}.c" for name in ("driver", "round_trip")]
"""Drives the load generator without Python."""
HERE = Path(__file__).parent
OBJECTS = ROOT / "build" / "objects"
"""Kept for other programs, and for the next time."""
OPTIMISED, LIBRARIES_OPTIMISED = ("-O3", "-g"), ("-O2",)  # as setup.py builds the client
INCLUDED_SOURCE = re.compile(r'#include "(.+\.c)"')


def compile_c(
    program: Path,
    *sources: Path,
    flags: Sequence[str] = OPTIMISED,
    defines: Sequence[str] = (),
    libraries: Sources | None = None,
    library_flags: Sequence[str] = LIBRARIES_OPTIMISED,
    shared: Sequence[str] = (),
) -> Path:
    """Compile C sources that may include the native headers; return the program.

    `defines`, such as `NAME=1`, are for the sources that contain the name; the others are shared
    with programs that define something else. `libraries` are those that the program is to be linked
    with, compiled by `library_flags`; `shared` are the system's.
    """
    library = libraries or Sources({})
    own = ("-std=c11", "-Wall", "-Wextra", "-Werror", *flags)
    theirs = ("-w", *library_flags, "-g0")

    def compile_own(source: Path) -> Path:
        text = source.read_text()
        named = [f"-D{one}" for one in defines if one.partition("=")[0] in text]
        return _object(source, [*own, *named], library)

    def compile_theirs(source: Path) -> Path:
        return _object(source, [*theirs, *library.defines], library)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = [*pool.map(compile_own, sources), *pool.map(compile_theirs, library.files)]
    linked = ("-lm", *(f"-l{name}" for name in shared))
    output_of([compiler(), "-pthread", *own, "-o", program, *objects, *linked])
    return program


def compiler() -> str:
    return os.environ.get("CC", "cc")


def _object(source: Path, flags: Sequence[str], libraries: Sources) -> Path:
    """Compile a source, unless it was compiled so from the same text; return the object."""
    text = source.read_text()
    included = [(source.parent / name).read_text() for name in INCLUDED_SOURCE.findall(text)]
    own_headers = map(_headers, (source.parent, NATIVE, PIXELS))
    how = _digest(_version(compiler()), *flags, *map(_headers, libraries.includes))
    name = f"{source.parent.name}-{source.stem}-{how}"
    made = OBJECTS / f"{name}-{_digest(text, *included, *own_headers)}.o"
    OBJECTS.mkdir(parents=True, exist_ok=True)
    with (OBJECTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # against other processes that need the same
        if made.exists():
            return made
        for old in OBJECTS.glob(f"{name}-*"):
            old.unlink()
        unfinished = made.with_suffix(".unfinished")
        folders = [f"-I{NATIVE}", f"-I{PIXELS}", *(f"-isystem{one}" for one in libraries.includes)]
        command = (compiler(), "-D_GNU_SOURCE", "-pthread", *folders, *flags)
        output_of([*command, "-c", "-o", unfinished, source])
        unfinished.rename(made)
    return made


@cache
def _version(compiler: str) -> str:
    return output_of([compiler, "--version"])


@cache
def _headers(folder: Path) -> str:
    """Return a digest of all headers below a folder."""
    return _digest(*(header.read_text() for header in sorted(folder.rglob("*.h"))))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def output_of(command: Sequence[object]) -> str:
    """Run a program and return what it printed; RuntimeError with its own words where it failed."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        raise RuntimeError(f"{' '.join(map(str, command))}: {said}")
    return done.stdout


def cost_of(command: Sequence[object]) -> tuple[str, float]:
    """Run a program; return what it printed, and the CPU time of all its processes in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    printed = output_of(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return printed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def sanitized(sanitizer: str) -> dict[str, Sequence[str]]:
    """Flags of `compile_c`: our own code by the sanitizers, such as `address,undefined`.

    The libraries are by the first alone and unoptimised, which takes a sixth of the time.
    """
    own = ("-O1", "-g", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all")
    return {
        "flags": own,
        "library_flags": ("-O0", f"-fsanitize={sanitizer.partition(',')[0]}"),
    }


def compile_driver(
    program: Path,
    libraries: Sources,
    *,
    defines: Sequence[str] = (),
    tls: bool = False,
    **more: Sequence[str],
) -> Path:
    """Compile the driver with the whole native core; with TLS it takes the headers of OpenSSL."""
    return compile_c(
        program, *DRIVER, *sorted(NATIVE.glob("*.c")),
        defines=[*defines, "WITH_OPENSSL"] if tls else defines,
        libraries=libraries,
        shared=("ssl", "crypto") if tls else (),
        **more,
    )  # fmt: skip
