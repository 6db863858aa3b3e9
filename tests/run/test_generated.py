"""Tensors that are drawn from a seed: what they hold, and that they are what is sent."""

import hashlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commandline import Cli
from fake_redisai import FakeRedisAI
from hypothesis import given
from hypothesis import strategies as st
from redisclient import connect

from aibench_fast import RunConfig, run
from aibench_fast._core import Tensors
from aibench_fast.errors import ConfigError
from aibench_fast.results.result import Interval
from aibench_fast.server import EmbeddedServer
from aibench_fast.tensortype import DTYPE_BYTES, REDISAI_DTYPES, tensor_bytes

NUMPY_TYPES = {
    "FLOAT": "<f4", "DOUBLE": "<f8", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4",
    "INT64": "<i8", "UINT8": "<u1", "UINT16": "<u2", "BOOL": "<u1", "FP16": "<f2", "BF16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8",
}  # fmt: skip
GREATEST = {"INT8": 127, "BOOL": 1} | dict.fromkeys(
    ("INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"), 255
)
COUNT = 2000

dtypes = st.sampled_from(sorted(DTYPE_BYTES))
seeds = st.integers(0, 2**62)
shapes = st.lists(st.integers(1, 7), min_size=1, max_size=4)


def splitmix64(seed: int, count: int) -> Iterator[int]:
    """The generator as its authors define it."""
    mask = 2**64 - 1
    for index in range(1, count + 1):
        z = (seed + index * 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        yield z ^ (z >> 31)


def drawn(seed: int, dtype: str, values: int) -> bytes:
    """So many values as the documentation says."""
    bits = {"FLOAT": 32, "DOUBLE": 64, "FP16": 16, "BF16": 16}.get(dtype, 8)
    words = np.array(list(splitmix64(seed, -(-values * bits // 64))), dtype="<u8")
    parts = words.view(f"<u{bits // 8}")[:values]
    if dtype == "FLOAT":
        parts = (parts >> 8) / 2**24
    elif dtype == "DOUBLE":
        parts = (parts >> 11) / 2**53
    elif dtype == "FP16":
        parts = (parts & 0x7FF) / 2**11
    elif dtype == "BF16":  # the upper half of a float32
        parts = ((parts & 0xFF) / 2**8).astype("<f4").view("<u4") >> 16
    else:
        parts = parts & GREATEST[dtype]
    return parts.astype(NUMPY_TYPES[dtype]).tobytes()


def generated(seed: int, dtype: str, shape: list[int] | tuple[int, ...], count: int) -> bytes:
    return Tensors.generate(count, tensor_bytes(shape, dtype), dtype, seed).read(0, count)


def test_the_generator_is_splitmix64() -> None:
    # What the reference code in C prints for this seed.
    words = [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431,
        16408922859458223821,
    ]  # fmt: skip
    values = np.frombuffer(generated(1234567, "DOUBLE", [5], 1), "<f8")
    assert values.tolist() == [(word >> 11) / 2**53 for word in words]


@given(dtype=dtypes, seed=seeds, shape=shapes, count=st.integers(1, 5))
def test_values_are_what_the_seed_says(dtype: str, seed: int, shape: list[int], count: int) -> None:
    data = generated(seed, dtype, shape, count)
    assert data == drawn(seed, dtype, count * math.prod(shape))
    assert len(data) == count * tensor_bytes(shape, dtype)


@given(dtype=dtypes, seed=seeds)
def test_values_fill_the_range_of_their_type(dtype: str, seed: int) -> None:
    values = np.frombuffer(generated(seed, dtype, (4096,), 1), NUMPY_TYPES[dtype])
    if dtype == "BF16":
        values = (values.astype("<u4") << 16).view("<f4")
    if dtype in GREATEST:
        # 4,096 draws miss a given value of 256 once in 10 million times.
        assert values.min() <= 5
        assert GREATEST[dtype] - 5 <= values.max() <= GREATEST[dtype]
    else:
        assert 0 <= values.min() < 0.05
        assert 0.95 < values.max() < 1
        assert values.mean() == pytest.approx(0.5, abs=0.05)


@given(dtype=dtypes, seed=seeds)
def test_tensors_differ(dtype: str, seed: int) -> None:
    size = tensor_bytes((16, 8), dtype)
    data = generated(seed, dtype, (16, 8), COUNT)
    assert len({data[n * size : (n + 1) * size] for n in range(COUNT)}) == COUNT


@given(seed=seeds, first=st.integers(0, 6), count=st.integers(1, 40))
def test_a_batch_is_read_around_the_ring(seed: int, first: int, count: int) -> None:
    tensors = Tensors.generate(7, 12, "FLOAT", seed)
    ring = tensors.read(0, 7) * 8
    assert tensors.read(first, count) == ring[first * 12 : (first + count) * 12]


def test_a_file_that_shrank_is_no_crash(tmp_path: Path) -> None:
    file = tmp_path / "t.out"
    file.write_bytes(bytes(64 << 10))
    tensors = Tensors.open([file], 64)
    os.truncate(file, 64)
    assert tensors.read(0, 1) == bytes(64)
    with pytest.raises(ConfigError, match="cannot read the tensors"):
        tensors.read(1000, 5)


def test_there_are_2000_tensors_or_256_mib_of_them_or_one() -> None:
    counts = [
        RunConfig(file=None, shape=shape).count_tensors()
        for shape in ((16,), (224, 224, 3), (8192, 8192), (8192, 16384))
    ]
    assert counts == [[2000], [445], [1], [1]]


@pytest.mark.parametrize("dtype", REDISAI_DTYPES)
@pytest.mark.parametrize("shape", [(16,), (3, 5, 2)])
def test_a_server_takes_every_type_and_shape(
    null_server: EmbeddedServer, dtype: str, shape: tuple[int, ...]
) -> None:
    stored: list[list[object]] = []
    with connect(null_server.address) as client:

        def look(event: object) -> None:
            if isinstance(event, Interval):  # the last one comes before the keys are deleted
                (key,) = client.keys("imageTensor:*")
                ask = client.execute_command
                stored.append(ask("AI.TENSORGET", key, "META", "BLOB"))

        config = RunConfig(
            file=None, shape=shape, dtype=dtype, seed=3, batch_size=2, max_queries=2,
            address=null_server.address, model="null",
        )  # fmt: skip
        result = run(config, look)
    assert (result.successes, result.failures) == (1, {})
    assert stored[-1] == [
        b"dtype", dtype.encode(), b"shape", [2, *shape],
        b"blob", drawn(3, dtype, 2 * math.prod(shape)),
    ]  # fmt: skip


def sent(**settings: object) -> list[bytes]:
    """The tensors of all requests but the trial's, as a server saw them."""
    with FakeRedisAI() as server:
        address = server.address
        run(RunConfig(file=None, address=address, **settings))  # type: ignore[arg-type]
        assert server.blobs[0] in server.blobs[1:]
        return server.blobs[1:]


def test_every_run_sends_the_same_however_many_workers_it_has() -> None:
    alone = sent(shape=(16,), dtype="INT16", seed=9)
    data = drawn(9, "INT16", 16 * COUNT)
    assert alone == [data[n * 32 : (n + 1) * 32] for n in range(COUNT)]
    assert sorted(sent(shape=(16,), dtype="INT16", seed=9, workers=7, threads=2)) == sorted(alone)
    assert sent(shape=(16,), dtype="INT16", seed=10, max_queries=1) != alone[:1]


def test_a_batch_larger_than_all_tensors_repeats_them() -> None:
    (batch,) = sent(shape=(4,), dtype="UINT8", batch_size=4001, max_queries=4001)
    data = drawn(0, "UINT8", 4 * COUNT)
    assert batch == data * 2 + data[:4]


def test_the_result_says_what_was_sent(
    cli: Cli, null_server: EmbeddedServer, tmp_path: Path
) -> None:
    done = cli(
        "run", "--shape", "4,3", "--dtype", "int32", "--seed", 8, "--port", null_server.port,
        "--model", "null", "--batch-size", 2, "--json-out-file", "r.json", code=0, errors=0,
    )  # fmt: skip
    assert "\nTensors: 4 x 3 INT32, generated from seed 8\n" in done.stdout
    saved = json.loads((tmp_path / "r.json").read_text())
    assert (saved["Shape"], saved["Dtype"], saved["DataSeed"]) == ([4, 3], "INT32", 8)
    assert (saved["DataFile"], saved["Inferences"]) == (None, COUNT)
    digest = hashlib.sha256(drawn(8, "INT32", 12 * COUNT)).hexdigest()
    assert saved["Facts"]["DataDigest"] == digest


def test_a_file_of_another_shape_and_type(
    cli: Cli, null_server: EmbeddedServer, tmp_path: Path
) -> None:
    (tmp_path / "t.out").write_bytes(bytes(6 * 10))
    done = cli(
        "run", "--file", "t.out", "--shape", "5", "--dtype", "INT16", "--port", null_server.port,
        "--model", "null", "--json-out-file", "r.json", code=0,
    )  # fmt: skip
    assert "generated" not in done.stdout
    saved = json.loads((tmp_path / "r.json").read_text())
    assert (saved["Shape"], saved["Dtype"], saved["DataSeed"]) == ([5], "INT16", None)
    assert (saved["DataFile"], saved["Successes"]) == ("t.out", 6)


def test_what_the_model_refuses_is_told_in_the_servers_words(cli: Cli) -> None:
    done = cli("run", "--embedded", "--quiet", "--shape", 16)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert "Got: [1,16] Expected: [?,224,224,3]" in done.stderr


def test_a_run_does_without_numpy(null_server: EmbeddedServer) -> None:
    program = (
        "import sys\n"
        "from aibench_fast.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "heavy = {'numpy', 'PIL', 'rich'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
        "sys.exit(code)\n"
    )
    arguments = ("run", "--shape", 16, "--port", null_server.port, "--model", "null", "--quiet")
    subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
