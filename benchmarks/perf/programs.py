"""C programs built on the spot: with the client's native sources, its C libraries, or both."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from vendored_sources import Sources

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "src" / "aibench_fast" / "native"
PIXELS = ROOT / "src" / "aibench_fast" / "tensors" / "native"
DRIVER = ROOT / "tests" / "native" / "driver.c"
"""Drives the load generator without Python."""
HERE = Path(__file__).parent
OPTIMISED = ("-O3", "-g")  # as setup.py builds the client


def compile_c(
    program: Path,
    *sources: Path,
    flags: Sequence[str] = OPTIMISED,
    libraries: Sources | None = None,
    shared: Sequence[str] = (),
) -> Path:
    """Compile C sources that may include the native headers; return the program.

    `libraries` are those that the program is to be linked with, `shared` the system's.
    """
    library = libraries or Sources([], [])
    includes = [f"-I{NATIVE}", f"-I{PIXELS}", *(f"-isystem{one}" for one in library.includes)]
    output_of(
        [os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-pthread", "-Wall", "-Wextra",
         "-Wno-sign-compare", *flags, *includes, "-o", program, *sources, *library.files, "-lm",
         *(f"-l{name}" for name in shared)],
    )  # fmt: skip
    return program


def output_of(command: Sequence[object]) -> str:
    """Run a program and return what it printed; RuntimeError with its own words where it failed."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        raise RuntimeError(f"{' '.join(map(str, command))}: {said}")
    return done.stdout


def compile_driver(
    program: Path, libraries: Sources, flags: Sequence[str] = OPTIMISED, *, tls: bool = False
) -> Path:
    """Compile the driver with the whole native core; with TLS it takes the headers of OpenSSL."""
    return compile_c(
        program, DRIVER, *sorted(NATIVE.glob("*.c")),
        flags=[*flags, "-DWITH_OPENSSL"] if tls else flags,
        libraries=libraries,
        shared=("ssl", "crypto") if tls else (),
    )  # fmt: skip
