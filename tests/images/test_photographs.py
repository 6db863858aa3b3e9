import pickle
import re
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibench_fast.errors import ConfigError
from aibench_fast.tensors import photographs
from aibench_fast.tensors.photographs import SAMPLE_FOLDER, Folder, is_hidden, open_input


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


@pytest.fixture(params=["folder", "zip", "address", "zip at an address"])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    where = _fill(request.param, tmp_path)
    return f"file://{where}" if "address" in request.param else str(where)


def _fill(kind: str, tmp_path: Path) -> Path:
    if "zip" not in kind:
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


def test_sorted_by_name_with_folders_and_without_hidden_files(filled: str) -> None:
    with open_input(filled) as found:
        assert [photograph.name for photograph in found] == LISTED
        assert [photograph.read() for photograph in found] == [FILES[name] for name in LISTED]


@given(
    st.sets(
        st.lists(st.text("a-./~0", min_size=1, max_size=2).map(lambda part: part.replace("/", "x")),
                 min_size=1, max_size=3).map("/".join),
        max_size=12,
    )
)  # fmt: skip
def test_a_walk_is_in_the_order_of_whole_names(names: set[str]) -> None:
    """Though no more than a folder's names are sorted at a time: `a-b`, `a.b`, `a/b`."""
    files = {name for name in names if not any(other.startswith(f"{name}/") for other in names)}

    class Names(Folder):
        def _entries(self, inside: str) -> set[str]:
            below = [name.removeprefix(inside) for name in files if name.startswith(inside)]
            return {one.partition("/")[0] + "/" * ("/" in one) for one in below}

        def read(self, name: str) -> bytes:
            return name.encode()

    seen = list(Names())
    expected = sorted(name for name in files if not is_hidden(name))
    assert [photograph.name for photograph in seen] == expected
    assert [photograph.read().decode() for photograph in seen] == expected


def test_photographs_are_read_in_another_process(filled: str) -> None:
    """Of an archive, without its directory."""
    with open_input(filled) as found:
        sent = pickle.dumps(list(found))
    assert [one.read() for one in pickle.loads(sent)] == [FILES[name] for name in LISTED]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("memory://nothing", "there is no such folder or zip archive"),
        ("nosuch://bucket/folder", "cannot be listed: Protocol not known: nosuch"),
    ],
)
def test_an_address_without_photographs(where: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"--input {where}: {message}"):
        names(where)


def test_what_is_too_large_at_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "MAX_FILE_BYTES", 1000)
    (tmp_path / "a.jpg").write_bytes(bytes(5000))
    with (
        open_input(f"file://{tmp_path}") as found,
        pytest.raises(ConfigError, match="more than the 1,000 that are allowed"),
    ):
        next(iter(found)).read()


def test_sample_photographs_are_there_with_their_licences() -> None:
    licences = (SAMPLE_FOLDER / "LICENCES.md").read_text()
    listed = re.findall(
        r"^\| (\S+) \| .* \| (?:CC0|public domain) \(.+\) \|", licences, re.MULTILINE
    )
    assert names("sample") == listed
    assert len(listed) == 6
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
    monkeypatch.setattr(photographs, "MAX_FILE_BYTES", 1000)
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
