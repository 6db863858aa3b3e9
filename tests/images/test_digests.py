"""The digest of a tensor file: kept between runs, and never another file's."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from aibench_fast.tensors import digests
from aibench_fast.tensors.digests import digest_of

Ask = Callable[..., tuple[str, bool]]
BYTES = digests.LEAST_BYTES
PROGRAM = """
import sys
from pathlib import Path
from aibench_fast.tensors.digests import digest_of
steps = []
print(digest_of([Path(sys.argv[1])], lambda *step: steps.append(step)), len(steps))
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of entries, into which small files' digests go too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "LEAST_BYTES", 1)
    return tmp_path / "cache" / "aibench-fast" / "digests"


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files' times are as fine as the kernel's clock, and need no two seconds of rest."""
    monkeypatch.setattr(digests, "SETTLED_NS", 0)


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """As a new process asks: the digest, and whether the files were read for it."""

    def of(*files: Path) -> tuple[str, bool]:
        monkeypatch.setattr(digests, "_known", {})
        steps: list[tuple[int, int]] = []
        digest = digest_of(files, lambda *step: steps.append(step))
        assert not steps or steps[-1] == (sum(file.stat().st_size for file in files),) * 2
        return digest, bool(steps)

    return of


def sha256(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def write(file: Path, content: bytes) -> str:
    file.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def unheard(done: int, total: int) -> None:
    pass


def rest(file: Path) -> None:
    """Leave a file alone for as long as it takes for its digest to be kept."""
    time.sleep(max(0.0, file.stat().st_ctime + digests.SETTLED_NS / 1e9 + 0.05 - time.time()))


def test_processes_read_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several at once too, and where the variable is not an absolute path, as it has to be."""
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    file = tmp_path / "tensors.out"
    digest = write(file, os.urandom(BYTES))
    rest(file)

    def start() -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", PROGRAM, str(file)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    for one in [start() for _ in range(4)]:
        assert one.communicate()[0].split()[0] == digest
        assert one.returncode == 0
    assert start().communicate()[0].split() == [digest, "0"]
    assert len(list((tmp_path / "home" / ".cache" / "aibench-fast" / "digests").iterdir())) == 1


def test_a_changed_file_is_read_again(cache: Path, settled: None, tmp_path: Path, ask: Ask) -> None:
    file = tmp_path / "tensors.out"
    first = write(file, b"1")
    assert ask(file) == (first, True)
    assert ask(file) == (first, False)
    assert digest_of([file], unheard) == first
    status = file.stat()
    second = write(file, b"2")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # as some tools copy
    assert digest_of([file], unheard) == second
    assert ask(file) == (second, False)
    other = tmp_path / "other.out"
    third = write(other, b"3")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)
    assert ask(file) == (third, True)


def test_a_file_that_was_just_written_is_read_each_time(
    cache: Path, tmp_path: Path, ask: Ask
) -> None:
    file = tmp_path / "tensors.out"
    for content in (b"1", b"2", b"3"):
        digest = write(file, content)
        assert ask(file) == (digest, True)
        assert ask(file) == (digest, True)
        assert digest_of([file], unheard) == digest
    assert not cache.exists()


def test_times_in_the_future_are_not_trusted(
    cache: Path, settled: None, tmp_path: Path, ask: Ask
) -> None:
    """As those of a file that was written before the clock was set back."""
    file = tmp_path / "tensors.out"
    digest = write(file, b"1")
    in_an_hour_ns = time.time_ns() + 3600 * 10**9
    os.utime(file, ns=(in_an_hour_ns, in_an_hour_ns))
    assert ask(file) == (digest, True)
    assert ask(file) == (digest, True)


def test_a_file_that_changes_while_it_is_read_is_not_kept(
    cache: Path, settled: None, tmp_path: Path, ask: Ask
) -> None:
    file = tmp_path / "tensors.out"
    write(file, b"1")
    digest_of([file], lambda done, total: file.write_bytes(b"2") and None)
    assert ask(file) == (sha256(file), True)


def test_shards_are_one_file(cache: Path, settled: None, tmp_path: Path, ask: Ask) -> None:
    one, two = tmp_path / "one.out", tmp_path / "two.out"
    write(one, b"1" * 3_000_000)
    write(two, b"2" * 5)
    assert ask(one, two) == (sha256(one, two), True)
    assert ask(one, two) == (sha256(one, two), False)
    assert ask(two, one) == (sha256(two, one), True)
    write(two, b"3" * 5)
    assert ask(one, two) == (sha256(one, two), True)


def other_digest(entry: Path) -> None:
    content = entry.read_bytes()
    entry.write_bytes(content.replace(content[2:3], b"1" if content[2:3] == b"0" else b"0", 1))


def other_file(entry: Path) -> None:
    digest, (path, *rest) = json.loads(entry.read_text().splitlines()[0])
    content = json.dumps([digest, [f"{path}x", *rest]])
    entry.write_text(f"{content}\n{hashlib.sha256(content.encode()).hexdigest()}\n")


@pytest.mark.parametrize(
    "damage",
    [
        other_digest,
        other_file,
        lambda entry: entry.write_bytes(b""),
        lambda entry: entry.write_bytes(entry.read_bytes()[:-2]),
        lambda entry: entry.write_bytes(os.urandom(300)),
        lambda entry: entry.unlink() or entry.mkdir(),
    ],
    ids=["digest", "file", "empty", "cut", "noise", "folder"],
)
def test_a_damaged_entry_does_not_count(
    cache: Path, settled: None, tmp_path: Path, ask: Ask, damage: Callable[[Path], None]
) -> None:
    file = tmp_path / "tensors.out"
    digest = write(file, b"1")
    assert ask(file) == (digest, True)
    (entry,) = cache.iterdir()
    damage(entry)
    assert ask(file) == (digest, True)


@pytest.mark.parametrize("place", ["/dev/null", "/proc", "tensors.out"])
def test_without_a_place_to_keep_it(
    cache: Path,
    settled: None,
    tmp_path: Path,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    file = tmp_path / "tensors.out"
    digest = write(file, b"1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / place))
    assert ask(file) == (digest, True)
    assert ask(file) == (digest, True)


def test_what_is_kept_takes_little_room(
    cache: Path, settled: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ask: Ask
) -> None:
    monkeypatch.setattr(digests, "MOST_ENTRIES", 2)
    files = [tmp_path / f"{number}.out" for number in range(4)]
    for file in files:
        write(file, b"1")
        ask(file)
        time.sleep(0.02)  # for entries of different times
    assert len(list(cache.iterdir())) == 2
    assert [ask(file)[1] for file in files[2:]] == [False, False]
    monkeypatch.setattr(digests, "LEAST_BYTES", 2)
    write(tmp_path / "small.out", b"1")
    ask(tmp_path / "small.out")
    assert len(list(cache.iterdir())) == 2


def test_a_file_that_memory_does_not_hold_takes_none_from_others(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "tensors.out"
    file.write_bytes(bytes(BYTES))
    os.sync()  # pages that are not written yet stay
    assert share_in_memory(file) > 0.9
    monkeypatch.setattr(digests, "_fills_memory", lambda size_bytes: True)
    digest_of([file], unheard)  # the first time: a second one may only look it up
    assert share_in_memory(file) < 0.1


def share_in_memory(file: Path) -> float:
    """How much of it the page cache has."""
    pages = range(0, file.stat().st_size, 4096)
    buffer, found = bytearray(4096), 0
    with file.open("rb", buffering=0) as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # read nothing ahead
        for place in pages:
            with suppress(BlockingIOError):
                found += os.preadv(stream.fileno(), [buffer], place, os.RWF_NOWAIT) == len(buffer)
    return found / len(pages)
