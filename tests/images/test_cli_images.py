"""The commands `prepare` and `show` as they are typed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commandline import Cli, command, completed, on_a_terminal
from pictures import encode, large_in_name, noise
from PIL import Image


def test_prepare_prints_the_seed_and_the_file(cli: Cli, photographs: Path, tmp_path: Path) -> None:
    output = tmp_path / "new folder" / "t.out"
    done = cli("prepare", "--input", photographs, "--output", output, code=0, errors=0)
    assert done.stdout == (
        "Using random seed 12345 to take a random 224 x 224 crop to the scaled image\n"
        "5 tensors from 5 photographs\n"
        f"Data generated to file {output}\n"
    )
    assert output.stat().st_size == 5 * 602_112


def test_prepare_takes_the_negative_scale_as_a_value(
    cli: Cli, photographs: Path, tmp_path: Path
) -> None:
    output = tmp_path / "t.out"
    done = cli("prepare", "--quiet", "--input", photographs, "--output", output, "--scale", "-1..1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert np.fromfile(output, "<f4").min() < -0.9


def test_prepare_shows_count_and_rate_on_a_terminal(photographs: Path, tmp_path: Path) -> None:
    output = tmp_path / "t.out"
    shown = on_a_terminal("prepare", "--input", photographs, "--output", output, "--limit", 50)
    assert "50/50" in shown
    assert "tensors/s" in shown


def test_prepare_lists_what_it_skipped(cli: Cli, photographs: Path, tmp_path: Path) -> None:
    (photographs / "a.txt").write_bytes(b"no photograph")
    arguments = ("prepare", "--input", photographs, "--output", tmp_path / "t.out")
    skipped = cli(*arguments, "--on-error", "skip", code=0)
    assert skipped.stderr.startswith("skipped a.txt: is not an image of a supported kind")
    assert "5 tensors from 5 photographs" in skipped.stdout


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: (folder / "a.txt").write_bytes(b"no photograph"), "a.txt: is not an image"),
        (
            lambda folder: (folder / "a.jpg").write_bytes(encode(noise(300, 300), "JPEG")[:5000]),
            "a.jpg: cannot be decoded",
        ),
        (
            lambda folder: (folder / "a.png").write_bytes(large_in_name(12_000, 12_000)),
            "a.png: is 12,000 x 12,000",
        ),
        (lambda folder: None, "--input"),
    ],
    ids=["text", "cut", "bomb", "empty folder"],
)
def test_prepare_names_the_bad_file_in_one_line(
    cli: Cli, tmp_path: Path, make: object, message: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    make(folder)  # type: ignore[operator]
    done = cli("prepare", "--input", folder, "--output", tmp_path / "t.out", code=2)
    assert done.stderr.startswith("aibench-fast: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "t.out").exists()


def test_prepare_where_it_may_not_write(cli: Cli, photographs: Path, tmp_path: Path) -> None:
    done = cli("prepare", "--input", photographs, "--output", tmp_path, code=2, errors=1)
    assert f"cannot write {tmp_path}" in done.stderr


def test_interrupted_prepare_leaves_nothing(photographs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out" / "t.out"
    process = subprocess.Popen(
        command("prepare", "--input", photographs, "--output", output, "--re-use-factor", 5000),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not (output.parent.is_dir() and list(output.parent.iterdir())):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (130, "aibench-fast: interrupted\n")
    assert not list(output.parent.iterdir())


@pytest.fixture
def tensor_file(tmp_path: Path) -> Path:
    """Three 224 x 224 tensors: black, a colour, white."""
    colours = [(0.0, 0.0, 0.0), (0.2, 0.4, 0.6), (1.0, 1.0, 1.0)]
    path = tmp_path / "t.out"
    np.array([np.full((224, 224, 3), colour) for colour in colours], "<f4").tofile(path)
    return path


def test_show_summary(cli: Cli, tensor_file: Path) -> None:
    done = cli("show", tensor_file, "--summary", "--layout", "nhwc")
    assert done.stdout == (
        "tensors:  3\n"
        "shape:    224 x 224 x 3 float32 (NHWC)\n"
        "least:    0.000000\n"
        "greatest: 1.000000\n"
        "mean:     0.466667\n"
    )


def test_show_draws_the_tensors_that_were_asked_for(
    cli: Cli, tensor_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sheet.png"
    done = cli("show", tensor_file, "--index", "1:3", "--out", out, "--layout", "nhwc")
    assert (done.returncode, done.stdout) == (0, f"2 tensors drawn in {out}\n")
    with Image.open(out) as sheet:
        colours = {colour for count, colour in sheet.getcolors() if count == 224 * 224}
    assert colours == {(51, 102, 153), (255, 255, 255)}


def test_show_gives_back_the_photograph_that_was_prepared(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode(noise(224, 224)))
    for layout, scale in (("nhwc", "0..1"), ("nchw", "-1..1")):
        output, out = tmp_path / f"{layout}.out", tmp_path / f"{layout}.png"
        cli(
            "prepare", "--input", folder, "--output", output, "--size", 224, "--layout", layout,
            "--scale", scale,
        )  # fmt: skip
        cli("show", output, "--index", 0, "--out", out, "--layout", layout)
        with Image.open(out) as sheet:
            drawn = np.asarray(sheet.crop((4, 4, 228, 228)))
        np.testing.assert_array_equal(drawn, np.asarray(noise(224, 224)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--index", "3", "--out", "s.png"), "the file has tensors 0 to 2"),
        (("--index", "2:1", "--out", "s.png"), "the file has tensors 0 to 2"),
        (("--index", "x", "--out", "s.png"), "write A:B"),
        (("--index", "0:1", "--out", "s.words"), "is not a picture format"),
        (("--index", "0:1"), "needs --out"),
        (("--crop", "0"), "must be at least 1"),
        (("--crop", "100"), "bytes over, where one tensor is 100 x 100 x 3"),
    ],
)
def test_show_of_what_is_not_there(
    cli: Cli, tensor_file: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = cli("show", tensor_file, *arguments, code=2, errors=1)
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == [tensor_file]


@pytest.mark.parametrize("name", ["prepare", "show"])
def test_help_ends_with_an_example(cli: Cli, name: str) -> None:
    help_lines = cli(name, "--help").stdout.rstrip().splitlines()
    assert help_lines[-2] == "example:"
    assert help_lines[-1].strip().startswith(f"aibench-fast {name} ")


def test_the_script_takes_aibenchs_environment(photographs: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "scripts" / "generate_data_vision.sh"
    done = completed(
        script, "--limit", "3",
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DATA_SEED": "7",
            "INPUT_VISION_VAL_DIR": str(photographs), "BULK_DATA_DIR": str(tmp_path / "bulk"),
        },
    )  # fmt: skip
    output = tmp_path / "bulk" / "vision_tensors.out"
    assert done.stdout.startswith("Using random seed 7 ")
    assert done.stdout.endswith(f"Data generated to file {output}\n")
    assert output.stat().st_size == 3 * 602_112
