import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibench_fast import tensortype
from aibench_fast.errors import ConfigError
from aibench_fast.tensors import summary as tensorsummary
from aibench_fast.tensors import tensorfile

IMAGE_BYTES = 602_112


def write(path: Path, values: np.ndarray) -> Path:
    path.write_bytes(values.astype("<f4").tobytes())
    return path


def test_image_bytes_of_the_model() -> None:
    assert tensortype.image_bytes() == IMAGE_BYTES


@given(count=st.integers(0, 5), over=st.integers(0, 11))
def test_check_counts_whole_tensors_or_says_what_is_over(
    tmp_path_factory: pytest.TempPathFactory, count: int, over: int
) -> None:
    path = tmp_path_factory.mktemp("check") / "t.out"
    path.write_bytes(bytes(count * 12 + over))
    if over == 0 and count > 0:
        assert tensorfile.check(path, (3,)) == count
        return
    with pytest.raises(ConfigError) as raised:
        tensorfile.check(path, (3,))
    expected = f"{over} bytes over" if over else "is empty"
    assert expected in str(raised.value)


def test_check_names_the_shape_of_a_tensor(tmp_path: Path) -> None:
    path = tmp_path / "t.out"
    path.write_bytes(bytes(IMAGE_BYTES + 7))
    with pytest.raises(
        ConfigError, match="7 bytes over, where one tensor is 224 x 224 x 3 FLOAT = 602,112 bytes"
    ):
        tensorfile.check(path, tensortype.image_shape())


@pytest.mark.parametrize("missing", [True, False], ids=["missing", "folder"])
def test_check_of_what_is_no_file(tmp_path: Path, missing: bool) -> None:
    path = tmp_path / "nothing" if missing else tmp_path
    expected = "there is no such file" if missing else "cannot be read"
    with pytest.raises(ConfigError, match=expected) as raised:
        tensorfile.check(path, tensortype.image_shape())
    assert str(path) in str(raised.value)


def test_created_file_is_the_tensors_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "t.out"
    tensors = np.arange(24, dtype=np.float32).reshape(2, 2, 2, 3)
    with tensorfile.create(path, 10_000) as append:
        for tensor in tensors:
            append(tensor)
    assert path.read_bytes() == tensors.astype("<f4").tobytes()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_interrupted_file_leaves_the_old_one(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "t.out"
    path.write_bytes(b"old")
    with pytest.raises(error), tensorfile.create(path, 48) as append:
        append(np.zeros(12, np.float32))
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_shows_at_once(tmp_path: Path) -> None:
    path = tmp_path / "t.out"
    # A limit on file size is refused by the same calls as a full disk, and needs no mount.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with (
            pytest.raises(ConfigError, match="cannot write") as raised,
            tensorfile.create(path, 2000),
        ):
            pytest.fail("the block ran with no room for its file")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(path) in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_more_than_the_disk_holds_is_refused_untouched(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="No space left"),
        tensorfile.create(tmp_path / "t.out", 1 << 60),
    ):
        pytest.fail("the block ran with no room for its file")
    assert not list(tmp_path.iterdir())


def test_special_file_is_not_replaced() -> None:
    with (
        pytest.raises(ConfigError, match="is not a regular file"),
        tensorfile.create(Path("/dev/null"), 12),
    ):
        pass
    assert Path("/dev/null").is_char_device()


def test_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "t.out"
    with pytest.raises(ConfigError, match=f"cannot write {path}"), tensorfile.create(path, 12):
        pass


def test_reading_needs_no_native_core() -> None:
    code = (
        "import sys\n"
        "native = ['aibench_fast._core', 'aibench_fast.tensors._pixels']\n"
        "sys.modules |= dict.fromkeys(native)\n"
        "from aibench_fast.tensors import summary, tensorfile"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("side", [224, 160])
def test_side_is_guessed_from_the_size(tmp_path: Path, side: int) -> None:
    path = write(tmp_path / "t.out", np.zeros(side * side * 3))
    assert tensorsummary.guess_side(path) == side


@pytest.mark.parametrize("grey", [True, False])
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_layout_is_guessed_from_the_values(layout: str, grey: bool) -> None:
    side = 64
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    wave = np.sin(x / 5) + y / 20
    picture = np.stack([wave, wave if grey else -wave, wave if grey else wave * 0.3], axis=2)
    tensor = picture if layout == "nhwc" else picture.transpose(2, 0, 1)
    assert tensorsummary.guess_layout(tensor.astype(np.float32).ravel(), side) == layout


def test_summary_is_of_all_tensors(tmp_path: Path) -> None:
    side = 2
    tensors = np.array([[0.25] * 12, [0.5] * 6 + [1.0] * 6], np.float32)
    summary = tensorsummary.summarise(write(tmp_path / "t.out", tensors), side, "nhwc")
    assert summary == tensorsummary.Summary(2, side, "nhwc", 0.25, 1.0, 0.5)
