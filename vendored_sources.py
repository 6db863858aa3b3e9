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
    defines: Sequence[str] = ()
    """Macros to compile it with."""
    configured: Sequence[str] = ()
    """Headers with the version in them, each made from the file of its name and `.in`."""

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
        for needed in (self.files[0], *self.configured):
            if not (folder / needed).is_file():
                sys.exit(f"{self.variable}={folder}: there is no {needed} in that folder")
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
        sources = folder / f"{self.package}-{self.version}" / self.folder
        for header in self.configured:
            self._configure(sources / header)
        return sources

    def _configure(self, header: Path) -> None:
        """Write a header, unless it is as it should be: objects are older than a new one."""
        major, minor, patch = map(int, self.c_version.split("."))
        text = header.with_name(f"{header.name}.in").read_text()
        text = text.replace("@PACKAGE_VERSION@", self.c_version)
        text = text.replace("@PACKAGE_VERSION_NUM@", f"0x{major:02x}{minor:02x}{patch:02x}")
        if not header.exists() or header.read_text() != text:
            header.write_text(text)


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
        name="nghttp2",
        package="ngh2",
        version="0.3.0",
        sha256="09b995aa65b8a397de652fd7a9b3877d6d1e24c10d2effc36204a3f37aa73440",
        folder="vendor/nghttp2",
        includes=("lib/includes",),
        files=(
            "lib/nghttp2_alpn.c", "lib/nghttp2_buf.c", "lib/nghttp2_callbacks.c",
            "lib/nghttp2_debug.c", "lib/nghttp2_extpri.c", "lib/nghttp2_frame.c",
            "lib/nghttp2_hd.c", "lib/nghttp2_hd_huffman.c", "lib/nghttp2_hd_huffman_data.c",
            "lib/nghttp2_helper.c", "lib/nghttp2_http.c", "lib/nghttp2_map.c",
            "lib/nghttp2_mem.c", "lib/nghttp2_option.c", "lib/nghttp2_outbound_item.c",
            "lib/nghttp2_pq.c", "lib/nghttp2_priority_spec.c", "lib/nghttp2_queue.c",
            "lib/nghttp2_ratelim.c", "lib/nghttp2_rcbuf.c", "lib/nghttp2_session.c",
            "lib/nghttp2_stream.c", "lib/nghttp2_submit.c", "lib/nghttp2_time.c",
            "lib/nghttp2_version.c", "lib/sfparse.c",
        ),
        c_version="1.70.0",
        c_package="nghttp2/nghttp2",
        c_tag="v1.70.0",
        licence="MIT",
        licence_file="COPYING",
        defines=(
            "NGHTTP2_STATICLIB", "HAVE_ARPA_INET_H", "HAVE_NETINET_IN_H", "HAVE_CLOCK_GETTIME",
        ),
        configured=("lib/includes/nghttp2/nghttp2ver.h",),
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
        defines=("YYJSON_DISABLE_UTILS",),
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

    @property
    def defines(self) -> list[str]:
        """The compiler's options for the macros of all of them."""
        return [f"-D{name}" for one in self.folders for name in one.defines]

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
        # pip asks the packages' build backends for their metadata: with hashes, only if they are
        # the pinned ones, and without an environment of its own for each. pyproject.toml requires
        # those backends. nghttp2's would look for CMake, though metadata needs none.
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
             "--no-deps", "--no-build-isolation", "--no-binary", ":all:", "--dest", str(folder),
             "--requirement", "/dev/stdin"],
            input="".join(hashed), text=True, check=True,
            env={**os.environ, "SKBUILD_WHEEL_CMAKE": "false"},
        )  # fmt: skip
    return Sources(
        {one: one.extract(folder) if one.is_pinned else one.given_folder() for one in LIBRARIES}
    )
