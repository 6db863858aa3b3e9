"""Where the C libraries come from that are linked in, for everything here that is built with them.

Each is in the source archive of a Python package, which is pinned and checked.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Library:
    """A C library, and the Python package whose source archive has it."""

    name: str
    package: str
    version: str
    """Of the package."""
    sha256: str
    folder: str
    """Of the sources, in the archive."""
    includes: Sequence[str]
    """Folders of headers, in that one."""
    files: Sequence[str]
    """What is compiled."""
    c_version: str
    """Of the C library, which is another than the package's."""
    c_package: str
    """Who publishes the C library, and as what: OWNER/NAME on GitHub."""
    c_tag: str
    """Of that version, there."""
    licence: str
    """By its SPDX identifier; LICENSES has its text."""
    licence_file: str
    """Where the text is, in the folder of the sources."""

    @property
    def is_pinned(self) -> bool:
        """Whether the sources are the pinned archive's, and no folder that was given instead."""
        return not os.environ.get(self.variable)

    @property
    def variable(self) -> str:
        """Names a folder of its sources, for a build without a network."""
        return f"AIBENCH_{self.name.upper()}_SOURCE"

    def find(self, build_folder: Path) -> Path:
        """The folder of its sources: the given one, or the pinned archive's, checked."""
        given = os.environ.get(self.variable)
        if given:
            if not (Path(given) / self.files[0]).is_file():
                sys.exit(f"{self.variable}={given}: there is no {self.files[0]} in that folder")
            return Path(given)
        archive = build_folder / f"{self.package}-{self.version}.tar.gz"
        if not archive.is_file():
            build_folder.mkdir(parents=True, exist_ok=True)
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                 "--no-binary", self.package, "--dest", str(build_folder),
                 f"{self.package}=={self.version}"],
                check=True,
            )  # fmt: skip
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != self.sha256:
            sys.exit(f"{archive}: SHA-256 is {found}, expected {self.sha256}; delete it and retry")
        with tarfile.open(archive) as members:
            # Python before 3.11.4, as Debian 12 has it, knows no filter; the archive is known.
            filtered = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            members.extractall(build_folder, **filtered)
        return build_folder / f"{self.package}-{self.version}" / self.folder


LIBRARIES = (
    Library(
        name="hiredis",
        package="hiredis",
        version="3.5.0",
        sha256="c227592cc56b7df247abe4755c26723965be68972be2149fa441ac33d82131ba",
        folder="vendor/hiredis",
        includes=(".",),
        # async.c because net.c refers to it; nothing of it is called.
        files=(
            "hiredis.c", "alloc.c", "async.c", "net.c", "read.c", "sds.c", "sockcompat.c",
        ),
        c_version="1.5.0",
        c_package="redis/hiredis",
        c_tag="v1.5.0",
        licence="BSD-3-Clause",
        licence_file="COPYING",
    ),
    Library(
        name="llhttp",
        package="httptools",
        version="0.9.0",
        sha256="d484ebb7e3a3f3597b0f645fbd1b85633674ca808c1f5ba11c2caf7c66f5c8b6",
        folder="vendor/llhttp",
        includes=("include",),
        files=("src/llhttp.c", "src/api.c", "src/http.c"),
        c_version="9.4.3",
        c_package="nodejs/llhttp",
        c_tag="release/v9.4.3",
        licence="MIT",
        licence_file="LICENSE",
    ),
    Library(
        name="yyjson",
        package="yyjson",
        version="4.0.6",
        sha256="fcd4dc15c1e39a30bf9fa85d56903029111506860fc3080ab0d81c6c6dacaa8c",
        folder="yyjson",
        includes=(".",),
        files=("yyjson.c",),
        c_version="0.10.0",
        c_package="ibireme/yyjson",
        c_tag="0.10.0",
        licence="MIT",
        licence_file="yyjson.h",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Sources:
    """Libraries, and the folder of each one's sources."""

    folders: Mapping[Library, Path]

    @property
    def includes(self) -> list[Path]:
        """Folders of headers."""
        return [folder / name for one, folder in self.folders.items() for name in one.includes]

    @property
    def files(self) -> list[Path]:
        """What is compiled."""
        return [folder / name for one, folder in self.folders.items() for name in one.files]

    def only(self, *names: str) -> "Sources":
        """Some of the libraries."""
        return Sources({one: folder for one, folder in self.folders.items() if one.name in names})


def find_sources(build_folder: Path) -> Sources:
    """Find every library, or fetch it into a folder of its own; SystemExit where one is wrong."""
    return Sources({one: one.find(build_folder / one.name) for one in LIBRARIES})
