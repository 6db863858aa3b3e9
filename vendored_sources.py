"""The C libraries that are linked in, and where their sources come from.

Each is part of a Python package's source archive, whose version and hash are pinned.
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
    """The version of the package."""
    sha256: str
    folder: str
    """The folder of the C sources in the archive."""
    includes: Sequence[str]
    """Folders of headers, relative to `folder`."""
    files: Sequence[str]
    """Files to compile, relative to `folder`."""
    c_version: str
    """The version of the C library itself."""
    c_package: str
    """Its repository, OWNER/NAME on GitHub."""
    c_tag: str
    """The tag of that version."""
    licence: str
    """Its SPDX identifier; LICENSES has the text."""
    licence_file: str
    """The file of its text, relative to `folder`."""

    @property
    def is_pinned(self) -> bool:
        """Whether the sources come from the pinned archive, not from a folder that was given."""
        return not os.environ.get(self.variable)

    @property
    def variable(self) -> str:
        """The environment variable that gives a folder of sources, for builds without a network."""
        return f"AIBENCH_{self.name.upper()}_SOURCE"

    @property
    def archive(self) -> str:
        """The name of the package's source archive."""
        return f"{self.package}-{self.version}.tar.gz"

    def given_folder(self) -> Path:
        """Return the folder that the variable names; SystemExit if it has no sources."""
        folder = Path(os.environ[self.variable])
        if not (folder / self.files[0]).is_file():
            sys.exit(f"{self.variable}={folder}: there is no {self.files[0]} in that folder")
        return folder

    def extract(self, folder: Path) -> Path:
        """Extract the archive in `folder`; SystemExit if it is not the pinned one."""
        archive = folder / self.archive
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != self.sha256:
            sys.exit(f"{archive}: SHA-256 is {found}, expected {self.sha256}; delete it and retry")
        with tarfile.open(archive) as members:
            # Python before 3.11.4, such as Debian 12's, has no filter. The archive is known.
            filtered = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            members.extractall(folder, **filtered)
        return folder / f"{self.package}-{self.version}" / self.folder


LIBRARIES = (
    Library(
        name="hiredis",
        package="hiredis",
        version="3.5.0",
        sha256="c227592cc56b7df247abe4755c26723965be68972be2149fa441ac33d82131ba",
        folder="vendor/hiredis",
        includes=(".",),
        # async.c because net.c refers to it; nothing in it is called.
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
    """Libraries and the folder of each one's sources."""

    folders: Mapping[Library, Path]

    @property
    def includes(self) -> list[Path]:
        """Folders of headers."""
        return [folder / name for one, folder in self.folders.items() for name in one.includes]

    @property
    def files(self) -> list[Path]:
        """Files to compile."""
        return [folder / name for one, folder in self.folders.items() for name in one.files]

    def only(self, *names: str) -> "Sources":
        """Return the sources of some of the libraries."""
        return Sources({one: folder for one, folder in self.folders.items() if one.name in names})


def find_sources(folder: Path) -> Sources:
    """Find the sources of every library; SystemExit if one is wrong.

    Archives that are not in `folder` are downloaded there.
    """
    pinned = [one for one in LIBRARIES if one.is_pinned]
    missing = [one for one in pinned if not (folder / one.archive).is_file()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        hashed = [f"{one.package}=={one.version} --hash=sha256:{one.sha256}\n" for one in missing]
        # pip runs the packages' setup.py for their metadata: with hashes, only if they are the
        # pinned ones, and without an environment of its own for each.
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
             "--no-deps", "--no-build-isolation", "--no-binary", ":all:", "--dest", str(folder),
             "--requirement", "/dev/stdin"],
            input="".join(hashed), text=True, check=True,
        )  # fmt: skip
    return Sources(
        {one: one.extract(folder) if one.is_pinned else one.given_folder() for one in LIBRARIES}
    )
