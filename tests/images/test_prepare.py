import csv
import os
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pictures import encode, noise
from PIL import Image

from aibench_fast.errors import ConfigError
from aibench_fast.tensors import images
from aibench_fast.tensors import prepare as module
from aibench_fast.tensors.prepare import PrepareConfig, Prepared, Skipped, prepare

SEED = 12345


def tensors(path: Path, crop: int = 224) -> np.ndarray:
    return np.fromfile(path, "<f4").reshape(-1, crop, crop, 3)


def expected(folder: Path, factor: int = 1) -> np.ndarray:
    """The tensors that aibench's two programs make of the folder, without the JPEG in between."""
    np.random.seed(SEED)
    made = []
    for path in sorted(folder.iterdir()):
        picture = images.load_scaled(path.read_bytes(), 256, images.PixelBudget())
        height, width, _ = picture.shape
        for _ in range(factor):
            x = np.random.randint(0, width - 224)
            y = np.random.randint(0, height - 224)
            made.append(picture[y : y + 224, x : x + 224] / 255)
    return np.array(made)


@pytest.mark.parametrize("factor", [1, 3])
@pytest.mark.parametrize("cores", [1, 5])
def test_tensors_are_aibenchs_crops_in_order_of_names(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: int, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    output = tmp_path / "t.out"
    progress = []
    prepared = prepare(
        PrepareConfig(str(photographs), output, SEED, factor),
        lambda done, total: progress.append((done, total)),
    )
    assert prepared == Prepared(tensors=5 * factor, photographs=5, skipped=())
    np.testing.assert_allclose(tensors(output), expected(photographs, factor), atol=1e-6)
    assert progress == [(done + 1, 5 * factor) for done in range(5 * factor)]


def test_another_seed_gives_other_crops(photographs: Path, tmp_path: Path) -> None:
    for seed in (1, 2):
        prepare(PrepareConfig(str(photographs), tmp_path / f"{seed}.out", seed))
    assert (tmp_path / "1.out").read_bytes() != (tmp_path / "2.out").read_bytes()


def test_zip_gives_what_its_folder_gives(photographs: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in photographs.iterdir():
            archive.write(path, f"val2017/{path.name}")
    for where in (photographs, tmp_path / "in.zip"):
        prepare(PrepareConfig(str(where), tmp_path / f"{where.name}.out"))
    assert (tmp_path / "photographs.out").read_bytes() == (tmp_path / "in.zip.out").read_bytes()


@pytest.mark.parametrize(
    ("limit", "factor", "from_each"),
    [(3, None, [1, 1, 1]), (5, 2, [2, 2, 1]), (12, None, [3, 3, 3, 3]), (5, None, [1] * 5)],
)
def test_limit_makes_exactly_so_many(
    photographs: Path, tmp_path: Path, limit: int, factor: int | None, from_each: list[int]
) -> None:
    crops = tmp_path / "crops.csv"
    config = PrepareConfig(
        str(photographs), tmp_path / "t.out", re_use_factor=factor, limit=limit, crops_file=crops
    )
    assert prepare(config).tensors == limit
    assert len(tensors(config.output)) == limit
    names = [row["name"] for row in csv.DictReader(crops.open())]
    assert names == [
        f"{number}.png" for number, count in enumerate(from_each) for _ in range(count)
    ]


def test_limit_beyond_the_stated_crops(photographs: Path, tmp_path: Path) -> None:
    config = PrepareConfig(str(photographs), tmp_path / "t.out", re_use_factor=2, limit=11)
    with pytest.raises(ConfigError, match=r"--limit 11: 5 photographs .* make 10 tensors"):
        prepare(config)


def test_sample_photographs_are_enough_for_any_limit(tmp_path: Path) -> None:
    config = PrepareConfig("sample", tmp_path / "t.out", limit=40)
    assert prepare(config).photographs == 6
    assert len(np.unique(tensors(config.output).reshape(40, -1), axis=0)) > 35


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_size_crop_layout_and_scale(photographs: Path, tmp_path: Path, layout: str) -> None:
    config = PrepareConfig(
        str(photographs), tmp_path / "t.out", size=64, crop=64, layout=layout, scale="-1..1"
    )
    prepare(config)
    made = np.fromfile(config.output, "<f4").reshape(
        (-1, 64, 64, 3) if layout == "nhwc" else (-1, 3, 64, 64)
    )
    square = images.load_scaled((photographs / "2.png").read_bytes(), 64, images.PixelBudget())
    seen = made[2] if layout == "nhwc" else made[2].transpose(1, 2, 0)
    np.testing.assert_allclose(seen, square / 127.5 - 1, atol=1e-6)


def test_crops_file_says_where_each_tensor_was_cut(photographs: Path, tmp_path: Path) -> None:
    config = PrepareConfig(
        str(photographs), tmp_path / "t.out", re_use_factor=2, crops_file=tmp_path / "c" / "crops"
    )
    prepare(config)
    lines = (tmp_path / "c" / "crops").read_text().splitlines()
    assert lines[0] == "name,x,y,scaled_width,scaled_height"
    generator = np.random.RandomState(SEED)
    sizes = [(341, 256), (256, 341), (256, 256), (256, 384), (256, 332)]
    assert lines[1:] == [
        f"{number}.png,{generator.randint(0, w - 224)},{generator.randint(0, h - 224)},{w},{h}"
        for number, (w, h) in enumerate(sizes)
        for _ in range(2)
    ]


def test_bad_file_fails_by_name_and_leaves_nothing(photographs: Path, tmp_path: Path) -> None:
    (photographs / "3b.txt").write_bytes(b"no photograph")
    config = PrepareConfig(str(photographs), tmp_path / "t.out", crops_file=tmp_path / "crops.csv")
    with pytest.raises(ConfigError, match=r"^3b\.txt: is not an image") as raised:
        prepare(config)
    assert "--on-error skip" in str(raised.value)
    assert list(tmp_path.iterdir()) == [photographs]


def test_skipped_files_leave_the_other_tensors_as_they_are(
    photographs: Path, tmp_path: Path
) -> None:
    prepare(PrepareConfig(str(photographs), tmp_path / "good.out"))
    (photographs / "0a.jpg").write_bytes(encode(noise(300, 300), "JPEG")[:3000])
    (photographs / "9.txt").write_bytes(b"no photograph")
    prepared = prepare(PrepareConfig(str(photographs), tmp_path / "skipped.out", on_error="skip"))
    assert (prepared.tensors, prepared.photographs) == (5, 5)
    assert [skipped.name for skipped in prepared.skipped] == ["0a.jpg", "9.txt"]
    assert isinstance(prepared.skipped[0], Skipped)
    assert "truncated" in prepared.skipped[0].reason
    assert (tmp_path / "skipped.out").read_bytes() == (tmp_path / "good.out").read_bytes()


def test_skipped_files_do_not_shorten_what_a_limit_asks(photographs: Path, tmp_path: Path) -> None:
    (photographs / "9.txt").write_bytes(b"no photograph")
    config = PrepareConfig(str(photographs), tmp_path / "t.out", limit=6, on_error="skip")
    with pytest.raises(ConfigError, match=r"--limit 6: there are only 5 tensors: .* 9.txt"):
        prepare(config)
    assert not config.output.exists()


def test_nothing_but_skipped_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes(b"no photograph")
    config = PrepareConfig(str(tmp_path / "in"), tmp_path / "t.out", on_error="skip")
    with pytest.raises(ConfigError, match=r"it has no photograph.*a.txt"):
        prepare(config)


@pytest.mark.parametrize("moment", [1, 4])
def test_interrupt_leaves_the_old_file(photographs: Path, tmp_path: Path, moment: int) -> None:
    output = tmp_path / "t.out"
    output.write_bytes(b"old")

    def interrupt(done: int, total: int) -> None:
        if done == moment:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(PrepareConfig(str(photographs), output), interrupt)
    assert output.read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == [photographs, output]


def test_few_pictures_are_ahead_of_the_one_being_written(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        (photographs / f"small{number:02}.png").write_bytes(encode(Image.new("RGB", (8, 8))))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    decoded = 0
    most_ahead = 0
    lock = threading.Lock()
    load = images.load_scaled

    def counting(data: bytes, side: int, budget: images.PixelBudget) -> images.Picture:
        nonlocal decoded
        with lock:
            decoded += 1
        return load(data, side, budget)

    def watch(done: int, total: int) -> None:
        nonlocal most_ahead
        most_ahead = max(most_ahead, decoded - done)

    monkeypatch.setattr(module.images, "load_scaled", counting)
    prepare(PrepareConfig(str(photographs), tmp_path / "t.out"), watch)
    assert decoded == 65
    assert most_ahead <= 9  # three times as many as the threads


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"limit": 0}, "--limit 0: must be at least 1"),
        ({"re_use_factor": -1}, "--re-use-factor -1: must be at least 1"),
        ({"size": 200}, "--crop 224: is larger than the scaled side"),
        ({"random_seed": -1}, "--random-seed -1: must be from 0"),
        ({"random_seed": 2**32}, "--random-seed 4294967296: must be from 0"),
    ],
)
def test_numbers_out_of_range(option: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PrepareConfig("sample", Path("t.out"), **option)
