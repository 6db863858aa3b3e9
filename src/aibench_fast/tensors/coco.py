"""The photographs of COCO 2017's validation set, as their publishers pack them."""

import shutil
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from aibench_fast.errors import ServerError
from aibench_fast.fetch import Progress, download
from aibench_fast.files import replacing

# Their server has no certificate for https; the SHA-256 identifies the file.
URL = "http://images.cocodataset.org/zips/val2017.zip"
SIZE_BYTES = 815_585_330
SHA256 = "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05"


def fetch_archive(folder: Path, url: str, progress: Progress) -> Path:
    """Download the archive into `folder` unless it is already there; return its path.

    Raises the errors of `fetch.download`.
    """
    archive = folder / "val2017.zip"
    download(url, archive, sha256=SHA256, size=SIZE_BYTES, progress=progress)
    return archive


def unpack(
    archive: Path, folder: Path, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> int:
    """Unpack a zip archive's files into `folder`; return how many it has.

    Files that exist with the right size stay, so a repeated call continues a stopped one; each
    file gets its name when it is complete. `on_progress` receives the files done and the total.
    Raises ServerError if the archive is damaged or, before writing anything, if a name leads out of
    the folder; ConfigError if a file cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            for member in members:
                _check_name(archive, member.filename)
            for number, member in enumerate(members, 1):
                target = folder / member.filename
                if not (target.is_file() and target.stat().st_size == member.file_size):
                    with opened.open(member) as packed, replacing(target) as file:
                        shutil.copyfileobj(packed, file)
                on_progress(number, len(members))
            return len(members)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ServerError(f"{archive} is damaged: {error}; delete it and fetch it again") from error


def _check_name(archive: Path, name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ServerError(f"{archive} is not to be trusted: its file {name!r} leads out of it")
