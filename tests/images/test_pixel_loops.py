import os
import subprocess
from pathlib import Path

NATIVE = Path(__file__).parents[2] / "src" / "aibench_fast" / "tensors" / "native"


def test_pixel_loops_stay_within_their_pictures(tmp_path: Path) -> None:
    program = tmp_path / "pixels"
    subprocess.run(
        [os.environ.get("CC", "cc"), "-std=c11", "-O1", "-g", "-D_GNU_SOURCE",
         "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
         "-Wall", "-Wextra", "-Wconversion", "-Werror", f"-I{NATIVE}", "-o", program,
         Path(__file__).with_name("pixels.c"), NATIVE / "area.c", NATIVE / "convert.c"],
        check=True,
    )  # fmt: skip
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
