"""Where the C sources of hiredis come from, for everything here that is built with them.

They are in the source archive of the Python package `hiredis`, which is pinned and checked.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path

VERSION = "3.5.0"  # of the Python package; the C library in it is 1.5.0
SHA256 = "c227592cc56b7df247abe4755c26723965be68972be2149fa441ac33d82131ba"
GIVEN_FOLDER_VARIABLE = "AIBENCH_HIREDIS_SOURCE"  # for a build without a network
# async.c because net.c refers to it; nothing of it is called.
FILES = ("alloc.c", "async.c", "hiredis.c", "net.c", "read.c", "sds.c", "sockcompat.c")


def hiredis_source(build_folder: Path) -> Path:
    """The folder of hiredis's C sources: the given one, or the pinned archive's, checked."""
    given = os.environ.get(GIVEN_FOLDER_VARIABLE)
    if given:
        folder = Path(given)
        if not (folder / "hiredis.h").is_file():
            sys.exit(f"{GIVEN_FOLDER_VARIABLE}={given}: there is no hiredis.h in that folder")
        return folder
    archive = build_folder / f"hiredis-{VERSION}.tar.gz"
    if not archive.is_file():
        build_folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
             "--no-binary", "hiredis", "--dest", str(build_folder), f"hiredis=={VERSION}"],
            check=True,
        )  # fmt: skip
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"{archive}: SHA-256 is {found}, expected {SHA256}; delete it and retry")
    with tarfile.open(archive) as members:
        # Python before 3.11.4, as Debian 12 has it, knows no filter; the archive is a known one.
        filtered = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        members.extractall(build_folder, **filtered)
    return build_folder / f"hiredis-{VERSION}" / "vendor" / "hiredis"
