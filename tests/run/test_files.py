"""Output files of processes that are killed, or fail, as they write."""

from pathlib import Path

import pytest

from aibench_fast.files import growing, remove_written, replacing, write_text


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / ".r[1].json.999.part").write_text("half")
    (tmp_path / ".other.json.999.part").write_text("half")
    write_text(tmp_path / "r[1].json", "whole")
    assert names(tmp_path) == {"r[1].json", ".other.json.999.part"}


def test_what_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    with replacing(tmp_path / "r.json") as file:
        (mine,) = tmp_path.glob(".r.json.*.part")
        theirs = mine.rename(tmp_path / ".r.json.999.part")
        write_text(tmp_path / "r.json", "theirs")
        assert theirs.exists()
        theirs.rename(mine)
        file.write(b"mine")
    assert (tmp_path / "r.json").read_text() == "mine"
    remove_written(tmp_path / "r.json")
    assert names(tmp_path) == set()


def test_a_file_that_grows_takes_its_name_at_the_end(tmp_path: Path) -> None:
    with growing(tmp_path / "new" / "r.hlog") as file:
        file.write(b"one")
        file.flush()
        assert (tmp_path / "new" / "r.hlog.partial").read_text() == "one"
    assert names(tmp_path / "new") == {"r.hlog"}


@pytest.mark.parametrize(("written", "left"), [(b"", set()), (b"one", {"r.hlog.partial"})])
def test_of_a_file_that_grows_what_was_written_stays(
    tmp_path: Path, written: bytes, left: set[str]
) -> None:
    with pytest.raises(RuntimeError), growing(tmp_path / "r.hlog") as file:
        file.write(written)
        raise RuntimeError
    assert names(tmp_path) == left
