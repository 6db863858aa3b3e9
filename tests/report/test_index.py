"""Folders of many results: the index that is left in them says what their files do, and no more."""

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from ci import examples
from commandline import completed
from hypothesis import given, settings
from hypothesis import strategies as st
from resultfiles import go_document, our_result, token_result, write

from aibench_fast.report import content, output
from aibench_fast.report import page as page_module
from aibench_fast.results import folder as folder_module
from aibench_fast.results import index
from aibench_fast.results.files import ReadFile
from aibench_fast.results.folder import Loaded, load
from aibench_fast.results.index import MIN_FILES, NAME, read_by_index, read_files

AGED_NS = 1_700_000_000 * 10**9
FILES = 6


def aged(path: Path, ns: int = AGED_NS) -> Path:
    """A file as it is some time after it was written."""
    os.utime(path, ns=(ns, ns))
    return path


def write_one(folder: Path, name: str, rate: float, changed_ns: int = AGED_NS) -> Path:
    return aged(write(folder, name, go_document(1, 0, 1, rate, 5.0)), changed_ns)


class Folder:
    """A folder of results, and which files are read of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.was_read: list[str] = []
        for number in range(FILES):
            write_one(path, f"{number}.json", 100 + number)

    def read(self, pattern: str = "*.json") -> dict[str, ReadFile]:
        self.was_read = []
        found = read_by_index(self.path, sorted(self.path.glob(pattern)), self._read)
        return {path.name: one for path, one in found.items()}

    def _read(self, files: Sequence[Path]) -> list[ReadFile]:
        self.was_read += [file.name for file in files]
        return read_files(files)

    def rates(self) -> dict[str, float]:
        return {
            name: one.record.inferences_per_s for name, one in self.read().items() if one.record
        }


@pytest.fixture
def many(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "many")


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "MIN_FILES", 2)


def test_what_did_not_change_is_not_read_again(many: Folder) -> None:
    first = many.read()
    assert len(many.was_read) == FILES
    assert many.read() == first
    assert many.was_read == []


def test_figures_of_streams_are_in_the_index(many: Folder) -> None:
    path = many.path / "tokens.json"
    token_result(facts={"PromptTokens": "64", "MaxTokens": "16"}).save(path)
    aged(path)
    first = many.read()["tokens.json"].record
    assert first.stream is not None
    assert many.read()["tokens.json"].record == first
    assert many.was_read == []


def test_only_files_that_changed_are_read_again(many: Folder) -> None:
    many.read()
    write_one(many.path, "2.json", 500, AGED_NS + 1)
    write_one(many.path, "3.json", 123456.75)  # longer, at the same time
    write_one(many.path, "new.json", 700)
    (many.path / "4.json").unlink()
    rates = many.rates()
    assert many.was_read == ["2.json", "3.json", "new.json"]
    assert rates == {
        "0.json": 100, "1.json": 101, "2.json": 500, "3.json": 123456.75, "5.json": 105,
        "new.json": 700,
    }  # fmt: skip
    assert many.rates() == rates
    assert many.was_read == []


def test_a_file_that_was_just_written_is_not_trusted_to_stay(many: Folder) -> None:
    path = write(many.path, "0.json", go_document(1, 0, 1, 200.0, 5.0))
    told = path.stat()
    many.read()
    path.write_text(path.read_text().replace("200.0", "300.0"))
    aged(path, told.st_mtime_ns)
    assert path.stat().st_size == told.st_size
    assert many.rates()["0.json"] == 300


def test_a_file_that_is_no_result_may_become_one(many: Folder) -> None:
    path = aged(write(many.path, "half.json", {}))
    assert many.read()["half.json"].reason == "not a result: OverallQuantiles is missing"
    many.read()
    assert many.was_read == ["half.json"]
    write_one(many.path, path.name, 7)
    assert many.rates()["half.json"] == 7


def test_a_part_of_the_folder_leaves_the_rest_in_the_index(many: Folder) -> None:
    many.read()
    write_one(many.path, "10.json", 10)
    assert len(many.read("1*.json")) == 2
    assert many.was_read == ["10.json"]
    assert len(many.read()) == FILES + 1
    assert many.was_read == []


def breakages() -> list[Any]:
    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-20])

    def garble(path: Path) -> None:
        old = path.read_bytes()
        path.write_bytes(old[:100] + bytes(byte ^ 0xFF for byte in old[100:160]) + old[160:])

    def empty(path: Path) -> None:
        path.write_bytes(b"")

    def garble_a_figure(path: Path) -> None:
        old = path.read_bytes()
        assert old.count(b'"inferences_per_s": 103') == 1
        path.write_bytes(old.replace(b'"inferences_per_s": 103', b'"inferences_per_s": 903'))

    def another_database(path: Path) -> None:
        path.unlink()
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE results (file)")
            database.execute("INSERT INTO results VALUES ('0.json')")
            database.commit()

    def another_file(path: Path) -> None:
        path.write_text("a note\n" * 1000)

    ways = (cut, garble, empty, garble_a_figure, another_database, another_file)
    return [pytest.param(one, id=one.__name__) for one in ways]


@pytest.mark.parametrize("break_it", breakages())
def test_a_broken_index_is_made_anew(many: Folder, break_it: Callable[[Path], None]) -> None:
    first = many.read()
    break_it(many.path / NAME)
    assert many.read() == first
    assert len(many.was_read) == FILES
    assert many.read() == first
    assert many.was_read == []


def test_another_programs_index_is_made_anew(many: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    many.read()
    monkeypatch.setattr(index, "LAYOUT", "another")
    many.read()
    assert len(many.was_read) == FILES


def test_where_no_index_can_be_written_the_files_are_read(many: Folder) -> None:
    (many.path / NAME).mkdir()
    first = many.read()
    assert len(first) == FILES
    assert many.read() == first
    assert len(many.was_read) == FILES


def test_another_process_may_read_the_folder_meanwhile(many: Folder) -> None:
    many.read()
    write_one(many.path, "2.json", 500, AGED_NS + 1)
    (many.path / "4.json").unlink()
    program = (
        "import pathlib, sys\n"
        "from aibench_fast.results.index import read_by_index, read_files\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "print(len(read_by_index(folder, sorted(folder.glob('*.json')), read_files)))\n"
    )

    def read(files: Sequence[Path]) -> list[ReadFile]:
        done = completed(sys.executable, "-c", program, many.path)
        assert done.stdout == f"{FILES - 1}\n"
        return read_files(files)

    found = read_by_index(many.path, sorted(many.path.glob("*.json")), read)
    assert len(found) == FILES - 1
    assert many.rates() == {
        path.name: one.record.inferences_per_s for path, one in found.items() if one.record
    }
    assert many.was_read == []
    assert [path.name for path in many.path.glob(".*")] == [NAME]


def test_a_folder_of_hundreds_has_an_index_and_one_of_fewer_has_none(tmp_path: Path) -> None:
    for folder, files in (("few", MIN_FILES - 1), ("many", MIN_FILES)):
        for number in range(files):
            write_one(tmp_path / folder, f"{number}.json", 1 + number)
        assert len(load([tmp_path / folder])) == files
    assert not (tmp_path / "few" / NAME).exists()
    assert (tmp_path / "many" / NAME).is_file()


def test_files_are_read_by_several_processes_as_by_one(
    many: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(many.path, "half.json", {})
    files = sorted(many.path.glob("*.json"))
    by_one = read_files(files)
    monkeypatch.setattr(index, "SHARE", 3)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    told: list[int] = []
    assert read_files(files, lambda done, total: told.append(done)) == by_one
    assert told == [3, 3, 1]


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text()
WORDS = st.text(st.characters(codec=None), max_size=8)  # halves of surrogate pairs among them
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2), max_leaves=4)
STEP = {"Value": 2, "Held": True, "Result": "0.json"}
POSITIVE = st.integers(1, 2**60) | st.floats(1e-3, 1e15)
DOCUMENTS = st.fixed_dictionaries(
    {
        "ResultFormatVersion": st.sampled_from(["1.6", "1.0", "", "9"]),
        "Workers": st.integers(1, 1000),
        "MaxRps": POSITIVE,
        "OverallRates": st.fixed_dictionaries({"overallOpsRate": POSITIVE}),
        "Facts": st.dictionaries(WORDS, VALUES | st.dictionaries(WORDS, SCALARS), max_size=4),
    },
    optional={
        "Model": WORDS,
        "Requests": st.integers(0, 2**63),
        "StartTime": st.integers(1, 10**10) | st.floats(1e-3, 1e10),
        "ServerName": WORDS,
        "Server": st.fixed_dictionaries(dict.fromkeys(("Kind", "Version", "Address"), WORDS)),
        "ServerPeriods": st.just({"overall": {"period_s": 2, "process_cpu_s": 1.5}}),
        "Failures": st.dictionaries(
            WORDS, st.fixed_dictionaries({"Count": st.integers(1, 9), "FirstMessage": WORDS})
        ),
        "Warnings": st.lists(st.fixed_dictionaries({"Kind": WORDS, "Message": WORDS}), max_size=2),
        "Interrupted": st.booleans(),
        "Repeats": st.just({}),
        "Search": st.just({"Slo": ["p99<=5ms"], "Over": "rate", "Found": 2, "Steps": [STEP]}),
    },
)


def words(read: dict[str, ReadFile]) -> list[str]:
    """Texts that distinguish NaN from other values, and 1 from 1.0."""
    return [
        f"{name} {one} {one.record and one.record.encoded_latencies}" for name, one in read.items()
    ]


@given(st.lists(DOCUMENTS, min_size=2, max_size=8))
@settings(deadline=None, max_examples=examples(30))
def test_an_index_tells_what_the_files_do(documents: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as name:
        folder = Folder(Path(name))
        for number, changes in enumerate(documents):
            document = go_document(1, 0, 1, 1.0, 1.0) | changes
            aged(write(folder.path, f"{number}-\udc80\N{SNOWMAN}.json", document))
        first = folder.read()
        assert words(folder.read()) == words(first)
        results = [name for name, one in first.items() if one.record or one.is_summary]
        assert len(folder.was_read) == len(first) - len(results)


def test_searches_and_skipped_files_are_the_same_by_an_index(
    tmp_path: Path, few_are_many: None
) -> None:
    for number in range(3):
        write_one(tmp_path, f"step-{number}.json", 10)
    steps = [{"Value": 1, "Held": True, "Result": f"step-{number}.json"} for number in range(3)]
    search = {"Slo": ["p99<=5ms"], "Over": "rate", "Found": 1, "Steps": steps}
    aged(write(tmp_path, "search.json", {"Search": search}))
    aged(write(tmp_path, "repeats.json", {"Repeats": {}}))
    aged(write(tmp_path, "broken.json", []))
    first = load([tmp_path])
    assert (tmp_path / NAME).exists()
    assert load([tmp_path]) == first
    assert [one.path.name for one in first.searches] == ["search.json"]
    assert [one.path.name for one in first.skipped] == ["broken.json"]


def test_a_report_by_an_index_is_the_same_page(tmp_path: Path, few_are_many: None) -> None:
    results = tmp_path / "results"
    results.mkdir()
    for workers in (1, 2, 4):
        for run in (1, 2):
            path = results / f"{workers}-{run}.json"
            our_result(workers=workers, rate=50.0 * workers, seed=run, seconds=8).save(path)
            aged(path)
    pages = []
    for _ in range(2):
        output.write_report(tmp_path / "page.html", content.gather("results", load([results])))
        pages.append((tmp_path / "page.html").read_text())
    assert (results / NAME).exists()
    assert pages[0] == pages[1]
    assert "p class=limits" not in pages[0]


def loaded_cells(tmp_path: Path, autobatchings: int, workers: int) -> Loaded:
    for autobatching in range(autobatchings):
        for count in range(1, workers + 1):
            result = our_result(
                workers=count, autobatching=autobatching, rate=10.0 * (autobatching + 1) + count,
                seconds=6,
            )  # fmt: skip
            result.save(tmp_path / f"{autobatching}-{count}.json")
    return load([tmp_path])


def test_of_very_many_cells_the_page_shows_the_fastest_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "MAX_DRAWN", 5)
    monkeypatch.setattr(content, "MAX_TIMED", 2)
    monkeypatch.setattr(page_module, "MAX_ROWS", 7)
    loaded = loaded_cells(tmp_path, autobatchings=4, workers=2)
    output.write_report(tmp_path / "page.html", content.gather("results", loaded))
    page = (tmp_path / "page.html").read_text()
    assert "8 results" in page
    assert "Of 8 cells the plots show 4: those of the settings with the highest throughput" in page
    assert "One run over time is that of the 2 fastest cells" in page
    assert "The table has the 7 fastest cells" in page
    (data,) = (line for line in page.splitlines() if 'id="report-data"' in line)
    charts = json.loads(data[data.index(">") + 1 : data.rindex("<")])["charts"]
    drawn = [row["series"] for row in charts["throughput-auto-batching"]["data"]["values"]]
    assert sorted(drawn) == ["2", "2", "3", "3"]
    assert len({row["cell"] for row in charts["throughput-over-time"]["data"]["values"]}) == 2
    table = page[page.index('id="cells"') :]
    assert table[: table.index("</table>")].count("<tr>") == 8
