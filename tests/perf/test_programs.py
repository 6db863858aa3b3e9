"""C programs share the objects that are compiled alike, and no others."""

from pathlib import Path

import pytest

from benchmarks.perf import programs

SOURCE = """
#include <stdio.h>
#include "value.h"

int main(void)
{
    printf("%d\\n", VALUE);
    return 0;
}
"""


@pytest.fixture(autouse=True)
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(programs, "OBJECTS", tmp_path / "objects")
    return tmp_path / "objects"


def printed(folder: Path, *defines: str, source: str = SOURCE, header: str = "") -> str:
    """Compile a program there, with sources of the same names each time; return what it prints."""
    folder = folder / "sources"
    folder.mkdir(parents=True)
    (folder / "main.c").write_text(source)
    (folder / "value.h").write_text(header)
    program = programs.compile_c(folder / "program", folder / "main.c", defines=defines)
    return programs.output_of([program]).strip()


def test_an_object_is_used_again(tmp_path: Path, objects: Path) -> None:
    assert printed(tmp_path / "first", "VALUE=1", "OTHER=1") == "1"
    (made,) = objects.glob("*.o")
    before = made.stat()
    assert printed(tmp_path / "second", "VALUE=1", "OTHER=2") == "1"
    assert made.stat() == before


def test_whatever_changes_is_compiled_again(tmp_path: Path, objects: Path) -> None:
    assert printed(tmp_path / "first", "VALUE=1") == "1"
    assert printed(tmp_path / "macro", "VALUE=2") == "2"
    assert printed(tmp_path / "header", header="#define VALUE 3\n") == "3"
    assert printed(tmp_path / "changed", header="#define VALUE 4\n") == "4"
    assert printed(tmp_path / "source", "VALUE=1", source=SOURCE.replace("%d", "%d!")) == "1!"
    included = SOURCE.replace("value.h", "../value.c")
    for value in ("5", "6"):
        folder = tmp_path / value
        folder.mkdir()
        (folder / "value.c").write_text(f"#define VALUE {value}\n")
        assert printed(folder, source=included) == value
    # Old ones of the same source and flags are deleted.
    assert len(list(objects.glob("*.o"))) == 3
