import zipfile
from pathlib import Path

import pytest

from aibench_fast.errors import ConfigError
from aibench_fast.tensors import listing
from aibench_fast.tensors.photographs import SAMPLE_LICENCES, open_input


def names(where: Path | str) -> list[str]:
    with open_input(str(where)) as found:
        return [photograph.name for photograph in found]


FILES = {
    "b.jpg": b"B",
    "a.jpg": b"A",
    "inner/0.jpg": b"I",
    "a10.jpg": b"10",
    "a9.jpg": b"9",
    ".hidden.jpg": b"",
    "__MACOSX/a.jpg": b"",
}
LISTED = ["a.jpg", "a10.jpg", "a9.jpg", "b.jpg", "inner/0.jpg"]


@pytest.fixture(params=["folder", "zip"])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "folder":
        for name, data in FILES.items():
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return tmp_path / "in"
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.mkdir("inner")
        for name, data in FILES.items():
            archive.writestr(name, data)
    return tmp_path / "in.zip"


def test_sorted_by_name_with_folders_and_without_hidden_files(filled: Path) -> None:
    with open_input(str(filled)) as found:
        assert [photograph.name for photograph in found] == LISTED
        assert [photograph.read() for photograph in found] == [FILES[name] for name in LISTED]


def test_sample_photographs_are_there_with_their_licences() -> None:
    pytest.importorskip("skimage")
    assert names("sample") == sorted(SAMPLE_LICENCES)
    with open_input("sample") as found:
        assert all(len(photograph.read()) > 50_000 for photograph in found)


@pytest.mark.parametrize("kind", ["missing", "empty folder", "empty zip", "no zip"])
def test_nothing_to_list(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "in"
    if kind == "empty folder":
        path.mkdir()
    elif kind == "empty zip":
        zipfile.ZipFile(path, "w").close()
    elif kind == "no zip":
        path.write_bytes(b"PK but no archive")
    with pytest.raises(ConfigError, match=f"--input {path}: "):
        names(path)


def test_zip_member_that_unpacks_to_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MAX_FILE_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.jpg", bytes(100_000))
    with (
        open_input(str(tmp_path / "in.zip")) as found,
        pytest.raises(ConfigError, match=r"is 100,000 bytes, more than the 1,000"),
    ):
        next(iter(found)).read()


def test_damaged_zip_member(tmp_path: Path) -> None:
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", b"photograph")
    path.write_bytes(path.read_bytes().replace(b"photograph", b"phOtograph"))
    with open_input(str(path)) as found, pytest.raises(ConfigError, match="cannot be unpacked"):
        next(iter(found)).read()
