"""The readers of input, fed with spoilt seeds; and the faults that the fuzzers found are mended."""

import random
import time
from pathlib import Path

import inputfuzzers
import inputs
import pytest
from ci import IN_CI

SECONDS = 0.5 if IN_CI else 0.1
SEED = 1


def spoilt(chance: random.Random, seed: bytes) -> bytes:
    """An input with bytes changed, put in, left out or doubled, here and there."""
    data = bytearray(seed)
    for _ in range(chance.choice([1, 1, 2, 8])):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.randrange(9))
        data[at:end] = chance.choice(
            [b"", data[at:end] * 2, chance.randbytes(end - at), chance.randbytes(1), b"\n", b'"']
        )
    return bytes(data)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of pictures that are spoilt here
@pytest.mark.parametrize("target", inputs.TARGETS)
def test_any_input_gives_a_value_or_an_error_of_one_line(target: str) -> None:
    chance = random.Random(SEED)
    seeds = [b"", *inputs.TARGETS[target].seeds]
    end = time.monotonic() + SECONDS
    for seed in seeds:
        inputs.TARGETS[target].read(seed)
    while time.monotonic() < end:
        data = spoilt(chance, chance.choice(seeds))
        try:
            inputs.TARGETS[target].read(data)
        except Exception as error:
            error.add_note(f"the input: {data[:2000]!r}")
            raise


@pytest.mark.parametrize(
    "finding",
    sorted(inputfuzzers.FINDINGS.glob("*/*")),
    ids=lambda file: f"{file.parent.name}/{file.name[:8]}",
)
def test_what_was_found_is_mended(finding: Path) -> None:
    inputs.TARGETS[finding.parent.name].read(finding.read_bytes())
