"""The native parts; everything else about the package is in pyproject.toml."""

import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HIREDIS_VERSION = "3.5.0"  # the Python package; its source archive carries the C library 1.5.0
HIREDIS_SHA256 = "c227592cc56b7df247abe4755c26723965be68972be2149fa441ac33d82131ba"
# A folder with the C library's sources, for a build without a network.
HIREDIS_SOURCE_VARIABLE = "AIBENCH_HIREDIS_SOURCE"
# async.c because net.c refers to it; nothing of it is called.
HIREDIS_FILES = ("alloc.c", "async.c", "hiredis.c", "net.c", "read.c", "sds.c", "sockcompat.c")

PACKAGE = Path("src/aibench_fast")
SERVER_MODULE = "aibench_fast.server.aimodule"
WARNINGS = ["-Wall", "-Wextra"]
# -O3 for the loops over pixels: at -O2 the compiler leaves them unvectorised, four times slower.
CFLAGS = ["-std=c11", "-O3", "-g", "-D_GNU_SOURCE", "-fvisibility=hidden", "-pthread", *WARNINGS]


def hiredis_source(build_folder: Path) -> Path:
    """The folder of hiredis's C sources: the given one, or the pinned archive's, checked."""
    given = os.environ.get(HIREDIS_SOURCE_VARIABLE)
    if given:
        folder = Path(given)
        if not (folder / "hiredis.h").is_file():
            sys.exit(f"{HIREDIS_SOURCE_VARIABLE}={given}: there is no hiredis.h in that folder")
        return folder
    archive = build_folder / f"hiredis-{HIREDIS_VERSION}.tar.gz"
    if not archive.is_file():
        build_folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
             "--no-binary", "hiredis", "--dest", str(build_folder), f"hiredis=={HIREDIS_VERSION}"],
            check=True,
        )  # fmt: skip
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != HIREDIS_SHA256:
        sys.exit(f"{archive}: SHA-256 is {found}, expected {HIREDIS_SHA256}; delete it and retry")
    with tarfile.open(archive) as members:
        members.extractall(build_folder, filter="data")
    return build_folder / f"hiredis-{HIREDIS_VERSION}" / "vendor" / "hiredis"


class BuildNative(build_ext):
    """Links hiredis statically into the client, and builds the server's module as a plain .so."""

    def build_extension(self, ext: Extension) -> None:
        if ext.name == "aibench_fast._core":
            source = hiredis_source(Path(self.build_temp).absolute() / "hiredis")
            ext.include_dirs.append(str(source))
            ext.extra_objects = self.compiler.compile(
                [str(source / name) for name in HIREDIS_FILES],
                output_dir=self.build_temp,
                include_dirs=[str(source)],
                extra_preargs=["-O2", "-D_GNU_SOURCE", "-fvisibility=hidden", "-w"],
            )
        super().build_extension(ext)

    def get_ext_filename(self, fullname: str) -> str:
        # A server module is not a Python extension: no interpreter's suffix.
        if fullname.endswith(SERVER_MODULE.rpartition(".")[2]):
            return fullname.replace(".", "/") + ".so"
        return super().get_ext_filename(fullname)


def native_extension(name: str, folder: Path, *more_sources: str, **options: object) -> Extension:
    return Extension(
        name,
        sources=[*more_sources, *map(str, sorted(folder.glob("*.c")))],
        depends=[*map(str, sorted(folder.glob("*.h")))],
        extra_compile_args=CFLAGS,
        **options,
    )


client = native_extension(
    "aibench_fast._core",
    PACKAGE / "native",
    str(PACKAGE / "_core.pyx"),
    include_dirs=[str(PACKAGE / "native")],
)
server_module = native_extension(
    SERVER_MODULE, PACKAGE / "server" / "module", libraries=["m", "dl"], extra_link_args=["-pthread"]
)

setup(
    ext_modules=[
        *cythonize([client], language_level=3, include_path=["src"]),
        server_module,
    ],
    cmdclass={"build_ext": BuildNative},
)
