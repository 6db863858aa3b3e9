"""Measure the cost of `aibench-fast prepare` beside the ways it replaces.

    pip install -e '.[server,test]'
    python benchmarks/prepare.py

Makes 640 x 480 JPEGs (COCO's usual size) out of the sample photographs, turns them into tensor
files in three ways, several rounds in turn, and prints the rates, and their ratios beside what is
to be reached. Only the ratios mean anything on another machine; all three write to the same folder,
files in its page cache. COCO's own JPEGs have more bytes, about as many as `--quality 98` gives.

- loop: one process, Pillow and NumPy, one photograph after another.
- two stages: OpenCV scales, crops and writes a JPEG each; then those are decoded to tensors.
- prepare: `aibench_fast.tensors.prepare.prepare`, on all cores.
"""

import argparse
import json
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from aibench_fast.tensors.images import draw_crop, scaled_size
from aibench_fast.tensors.photographs import SAMPLE, open_input
from aibench_fast.tensors.prepare import RANDOM_SEED, SMALLER_SIDE, PrepareConfig, prepare
from aibench_fast.tensortype import MODEL_SIDE

PHOTOGRAPH_SIZE = (640, 480)

TARGETS = {"loop": 1.8, "two stages": 4.0}
"""How many times as fast `prepare` is to be, on two cores."""


def make_photographs(folder: Path, count: int, quality: int) -> int:
    """Write `count` different JPEGs, parts of the sample photographs; return their mean bytes."""
    generator = np.random.RandomState(0)
    total_bytes = 0
    with open_input(SAMPLE) as samples:
        pictures = []
        for sample in samples:
            (folder / "sample").write_bytes(sample.read())
            pictures.append(Image.open(folder / "sample").convert("RGB"))
    (folder / "sample").unlink()
    for number in range(count):
        picture = pictures[number % len(pictures)]
        width, height = (int(side * generator.uniform(0.6, 1)) for side in picture.size)
        x, y = picture.width - width, picture.height - height
        part = picture.resize(
            PHOTOGRAPH_SIZE, Image.Resampling.LANCZOS, (x, y, x + width, y + height)
        )
        path = folder / f"{number:06}.jpg"
        part.save(path, quality=quality)
        total_bytes += path.stat().st_size
    return total_bytes // count


def loop(photographs: Path, output: Path) -> None:
    """One process, Pillow and NumPy."""
    generator = np.random.RandomState(RANDOM_SEED)
    with output.open("wb") as file:
        for path in sorted(photographs.iterdir()):
            with Image.open(path) as image:
                size = scaled_size(*image.size, SMALLER_SIDE)
                picture = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX))
            crop = draw_crop(generator, *size, MODEL_SIDE)
            cut = picture[crop.y : crop.y + MODEL_SIDE, crop.x : crop.x + MODEL_SIDE]
            file.write((cut.astype(np.float32) / 255).data)


def two_stages(photographs: Path, output: Path) -> None:
    """OpenCV, with JPEGs in between."""
    generator = np.random.RandomState(RANDOM_SEED)
    cropped = output.with_suffix(".cropped")
    cropped.mkdir()
    for path in sorted(photographs.iterdir()):
        image = cv2.imread(str(path))
        height, width, _ = image.shape
        size = scaled_size(width, height, SMALLER_SIDE)
        picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        crop = draw_crop(generator, *size, MODEL_SIDE)
        cut = picture[crop.y : crop.y + MODEL_SIDE, crop.x : crop.x + MODEL_SIDE]
        cv2.imwrite(str(cropped / path.name), cut)
    with output.open("wb") as file:
        for path in sorted(cropped.iterdir()):
            picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            file.write((picture.astype(np.float32) / 255).data)
    shutil.rmtree(cropped)


def ours(photographs: Path, output: Path) -> None:
    """The package."""
    prepare(PrepareConfig(input=str(photographs), output=output))


def measure(way: Callable[[Path, Path], None], photographs: Path, output: Path) -> float:
    """Seconds that one way takes."""
    output.unlink(missing_ok=True)
    started = time.perf_counter()
    way(photographs, output)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photographs", type=int, default=500, metavar="N")
    parser.add_argument("--quality", type=int, default=92, help="of the JPEGs (default: 92)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="save the figures here")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        photographs, output = Path(temporary, "photographs"), Path(temporary, "tensors.out")
        photographs.mkdir()
        mean_bytes = make_photographs(photographs, options.photographs, options.quality)
        print(f"{options.photographs} JPEGs of 640 x 480, {mean_bytes:,} bytes each on average")
        ways = {"loop": loop, "two stages": two_stages, "prepare": ours}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                seconds[name].append(measure(way, photographs, output))
    best = {name: min(times) for name, times in seconds.items()}
    rates = {name: options.photographs / best[name] for name in ways}
    ratios = {name: best[name] / best["prepare"] for name in TARGETS}
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for name, rate in rates.items():
        print(f"{name:12} {rate:7.0f} photographs/s")
    for name, target in TARGETS.items():
        print(f"prepare is {ratios[name]:.2f} times as fast as {name} (to be reached: {target})")
    print(f"peak memory of this process: {peak_mb:.0f} MB")
    if options.json:
        figures = {
            "photographs": options.photographs,
            "mean_bytes": mean_bytes,
            "photographs_per_s": rates,
            "ratios": ratios,
            "targets": TARGETS,
            "peak_memory_mb": peak_mb,
        }
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
