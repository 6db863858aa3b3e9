"""C programs built on the spot: with the client's native sources, its C libraries, or both."""

import hashlib
import os
import resource
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vendored_sources import Sources

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "src" / "aibench_fast" / "native"
PIXELS = ROOT / "src" / "aibench_fast" / "tensors" / "native"
DRIVER = [ROOT / "tests" / "native" / f"{name}.c" for name in ("driver", "round_trip")]
"""Drives the load generator without Python."""
HERE = Path(__file__).parent
OPTIMISED = ("-O3", "-g")  # as setup.py builds the client


def compile_c(
    program: Path,
    *sources: Path,
    flags: Sequence[str] = OPTIMISED,
    libraries: Sources | None = None,
    library_flags: Sequence[str] | None = None,
    shared: Sequence[str] = (),
) -> Path:
    """Compile C sources that may include the native headers; return the program.

    `libraries` are those that the program is to be linked with, compiled by `library_flags`, or as
    the rest is but for definitions; programs built alike share their objects. `shared` are the
    system's.
    """
    library = libraries or Sources({})
    includes = [f"-I{NATIVE}", f"-I{PIXELS}", *(f"-isystem{one}" for one in library.includes)]
    compiler = (os.environ.get("CC", "cc"), "-D_GNU_SOURCE", "-pthread", *includes)
    own = ("-std=c11", "-Wall", "-Wextra", "-Werror", *flags)
    if library_flags is None:
        library_flags = [flag for flag in flags if not flag.startswith("-D")]
    theirs = ("-w", *library_flags, *library.defines, "-g0")
    how = hashlib.sha256(" ".join(theirs).encode()).hexdigest()[:8]
    objects = {source: source.with_suffix(f".{how}.o") for source in library.files}

    def compile_one(source: Path) -> None:
        if not objects[source].exists():  # made for another program
            output_of([*compiler, *theirs, "-c", "-o", objects[source], source])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, objects))
    linked = ("-lm", *(f"-l{name}" for name in shared))
    output_of([*compiler, *own, "-o", program, *sources, *objects.values(), *linked])
    return program


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
    flags: Sequence[str] = OPTIMISED,
    tls: bool = False,
    **more: Sequence[str],
) -> Path:
    """Compile the driver with the whole native core; with TLS it takes the headers of OpenSSL."""
    return compile_c(
        program, *DRIVER, *sorted(NATIVE.glob("*.c")),
        flags=[*flags, "-DWITH_OPENSSL"] if tls else flags,
        libraries=libraries,
        shared=("ssl", "crypto") if tls else (),
        **more,
    )  # fmt: skip
