"""Shards of a tensor file are that file to whoever reads it."""

import hashlib
import os
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from ci import examples
from commandline import Cli
from fake_redisai import META, OK, OUTPUT_BYTES, FakeRedisAI
from hypothesis import given, settings
from hypothesis import strategies as st
from smallruns import against

from aibench_fast import Result, RunConfig
from aibench_fast._core import Tensors
from aibench_fast.errors import ConfigError
from aibench_fast.tensors import tensorfile
from aibench_fast.tensors.prepare import PrepareConfig, prepare
from aibench_fast.tensors.sharding import Sharding, prepare_shards

IMAGE_BYTES = 602_112
IN_GAPS, SEAMLESS = 12, 4096
"""Bytes of a tensor that fill no page and one."""


def write_shards(whole: Path, tensor_bytes: int, counts: Sequence[int]) -> bytes:
    """Write shards of so many tensors, all different, and return their bytes together."""
    data = os.urandom(sum(counts) * tensor_bytes)
    ends = [0, *accumulate(counts)]
    for number in range(1, len(counts) + 1):
        begin, end = (place * tensor_bytes for place in ends[number - 1 : number + 1])
        tensorfile.shard_path(whole, number, len(counts)).write_bytes(data[begin:end])
    return data


def run_shards(server: FakeRedisAI, file: Path, shape: int, **settings: object) -> Result:
    return against(server, file, shape=(shape,), dtype="FLOAT", **settings)


@given(tensors=st.integers(1, 500), count=st.integers(1, 50))
def test_shards_differ_by_one_tensor_at_most(tensors: int, count: int) -> None:
    sizes = tensorfile.shard_sizes(tensors, count)
    assert (sum(sizes), len(sizes)) == (tensors, count)
    assert max(sizes) - min(sizes) <= 1
    assert (np.diff(sizes) <= 0).all()


@pytest.mark.parametrize("tensor_bytes", [IN_GAPS, SEAMLESS])
@settings(deadline=None, max_examples=examples(40))  # files are written
@given(
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    first=st.integers(0, 100),
    batch=st.integers(1, 30),
)
def test_a_batch_goes_on_in_the_next_shard_and_around(
    tmp_path_factory: pytest.TempPathFactory,
    tensor_bytes: int,
    counts: list[int],
    first: int,
    batch: int,
) -> None:
    whole = tmp_path_factory.mktemp("shards") / "t.out"
    data = write_shards(whole, tensor_bytes, counts)
    tensors = Tensors.open(tensorfile.files_of(whole), tensor_bytes)
    first %= sum(counts)
    ring = data * (batch + 1)
    assert len(tensors) == sum(counts)
    assert tensors.read(first, batch) == ring[first * tensor_bytes : (first + batch) * tensor_bytes]


@pytest.mark.parametrize("tensor_bytes", [IN_GAPS, SEAMLESS])
def test_a_run_sends_the_tensors_of_all_shards(tmp_path: Path, tensor_bytes: int) -> None:
    data = write_shards(tmp_path / "t.out", tensor_bytes, [4, 4, 3])
    ring = data * 2
    with FakeRedisAI() as server:
        result = run_shards(
            server, tmp_path / "t.out", tensor_bytes // 4, batch_size=3, max_queries=15
        )
    step = 3 * tensor_bytes
    assert server.blobs[1:] == [ring[n * step : (n + 1) * step] for n in range(5)]
    assert result.setup.data_file == str(tmp_path / "t.out")
    assert result.facts["DataDigest"] == hashlib.sha256(data).hexdigest()


def test_sweeps_searches_and_mixes_take_shards_too(cli: Cli, tmp_path: Path) -> None:
    data = write_shards(tmp_path / "t.out", 16, [2, 1])
    tensors = {data[at : at + 16] for at in range(0, len(data), 16)}
    (tmp_path / "mix.toml").write_text('[[request]]\nmodel = "m"\nfile = "t.out"\nshape = [4]\n')
    one = (
        "--file",
        "t.out",
        "--shape",
        4,
        "--model",
        "m",
        "--max-queries",
        40,
        "--burn-in",
        1,
        "--quiet",
    )
    for words in (
        ("run", "--mix", "mix.toml", "--max-queries", 9, "--quiet"),
        ("sweep", *one, "--workers", 2),
        ("search", *one, "--slo", "errors=1%", "--over", "workers", "--from", 1, "--to", 1),
    ):
        with FakeRedisAI(AI_MODELGET=lambda *_: META) as server:
            done = cli(*words, "--port", server.port)
            assert done.returncode == 0, (words, done.stderr)
            assert set(server.blobs) == tensors, words


def test_references_may_be_in_shards_too(tmp_path: Path) -> None:
    write_shards(tmp_path / "t.out", 16, [2, 1])
    (tmp_path / "right-00001-of-00002.out").write_bytes(bytes(2 * OUTPUT_BYTES))
    (tmp_path / "right-00002-of-00002.out").write_bytes(bytes(OUTPUT_BYTES))
    (tmp_path / "wrong-00001-of-00002.out").write_bytes(bytes(2 * OUTPUT_BYTES))
    (tmp_path / "wrong-00002-of-00002.out").write_bytes(b"\0\0\x80\x3f" * (OUTPUT_BYTES // 4))
    for name, expected in (("right.out", 0), ("wrong.out", 1)):
        with FakeRedisAI() as server:
            result = run_shards(server, tmp_path / "t.out", 4, reference_file=tmp_path / name)
        failures = result.failures["wrong_output"].count if result.failures else 0
        assert failures == expected


def test_a_shard_that_shrinks_ends_the_run(tmp_path: Path) -> None:
    write_shards(tmp_path / "t.out", SEAMLESS, [5, 5])

    def shrink(_: Sequence[bytes], number: int) -> bytes:
        if number == 3:
            os.truncate(tensorfile.shard_path(tmp_path / "t.out", 2, 2), 0)
        return OK

    with FakeRedisAI(AI_MODELRUN=shrink) as server:
        result = run_shards(server, tmp_path / "t.out", SEAMLESS // 4, max_queries=30)
    assert result.failures["tensor_file"].count == 1
    assert result.successes == 5  # the tensors of the first shard


def test_one_shard_is_a_tensor_file_by_itself(tmp_path: Path) -> None:
    write_shards(tmp_path / "t.out", 16, [2, 2, 1])
    assert tensorfile.check(tmp_path / "t-00003-of-00003.out", (4,)) == 1


def remove_second(whole: Path) -> None:
    tensorfile.shard_path(whole, 2, 3).unlink()


def cut_second(whole: Path) -> None:
    os.truncate(tensorfile.shard_path(whole, 2, 3), 16)


def add_other_total(whole: Path) -> None:
    tensorfile.shard_path(whole, 1, 4).write_bytes(bytes(16))


def add_whole(whole: Path) -> None:
    whole.write_bytes(bytes(16))


def cut_within_a_tensor(whole: Path) -> None:
    os.truncate(tensorfile.shard_path(whole, 3, 3), 17)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove_second, "of 3 shards t-00002-of-00003.out is missing"),
        (cut_second, "t-00002-of-00003.out has 1 tensors and t-00001-of-00003.out 3"),
        (add_other_total, "there are shards of 3 and of 4"),
        (add_whole, "is there as a whole and in shards"),
        (cut_within_a_tensor, "1 bytes over"),
    ],
)
def test_shards_that_are_no_whole(tmp_path: Path, spoil: object, message: str) -> None:
    write_shards(tmp_path / "t.out", 16, [3, 3, 3])
    spoil(tmp_path / "t.out")  # type: ignore[operator]
    with pytest.raises(ConfigError) as raised:
        RunConfig(file=tmp_path / "t.out", shape=(4,)).count_tensors()
    assert message in str(raised.value)


def test_a_shard_that_is_short_within_what_is_even(photographs: Path, tmp_path: Path) -> None:
    config = PrepareConfig(str(photographs), tmp_path / "t.out", limit=4)
    prepare_shards(config, Sharding(2))
    os.truncate(tensorfile.shard_path(config.output, 2, 2), IMAGE_BYTES)
    with pytest.raises(ConfigError, match=r"1,806,336 bytes together, and t-of-00002\.json says"):
        tensorfile.check(config.output, (224, 224, 3))


def test_a_missing_shard_is_one_line(cli: Cli, tmp_path: Path) -> None:
    write_shards(tmp_path / "t.out", 16, [3, 3, 3])
    remove_second(tmp_path / "t.out")
    done = cli("run", "--file", "t.out", "--shape", "4", "--port", 1, code=2, errors=1)
    assert "t-00002-of-00003.out is missing" in done.stderr


def test_shards_of_one_machine_are_the_whole_in_parts(
    cli: Cli, photographs: Path, tmp_path: Path
) -> None:
    """Also where a shard begins in the middle of a photograph's crops."""
    (photographs / "1b.txt").write_bytes(b"no photograph")
    prepare(
        PrepareConfig(
            str(photographs), tmp_path / "t.out", limit=14, on_error="skip",
            crops_file=tmp_path / "t.csv",
        )
    )  # fmt: skip
    done = cli("prepare", "--input", photographs, "--limit", 14, "--on-error", "skip",
               "--shards", 4, "--output", "s.out", "--crops-file", "s.csv")  # fmt: skip
    assert done.returncode == 0
    assert done.stderr.startswith("skipped 1b.txt: is not an image of a supported kind")
    assert "14 tensors from 5 photographs" in done.stdout
    assert done.stdout.endswith("Data generated to file s.out, in 4 shards\n")
    files = tensorfile.files_of(tmp_path / "s.out")
    assert [file.stat().st_size // IMAGE_BYTES for file in files] == [4, 4, 3, 3]
    assert b"".join(file.read_bytes() for file in files) == (tmp_path / "t.out").read_bytes()
    assert (tmp_path / "s.csv").read_bytes() == (tmp_path / "t.csv").read_bytes()
    for name in ("s", "t"):
        shown = cli("show", f"{name}.out", "--index", "3:9", "--out", f"{name}.png", "--summary")
        assert shown.stdout.startswith("tensors:  14\n")
    assert (tmp_path / "s.png").read_bytes() == (tmp_path / "t.png").read_bytes()


def test_shards_by_size(photographs: Path, tmp_path: Path) -> None:
    config = PrepareConfig(str(photographs), tmp_path / "t.out")
    prepare_shards(config, Sharding(most_bytes=2 * IMAGE_BYTES + 5))
    files = tensorfile.files_of(tmp_path / "t.out")
    assert [file.stat().st_size // IMAGE_BYTES for file in files] == [2, 2, 1]


@pytest.mark.parametrize("sharding", [Sharding(count=6), Sharding(count=0)])
def test_no_more_shards_than_tensors(photographs: Path, tmp_path: Path, sharding: Sharding) -> None:
    with pytest.raises(ConfigError, match=r"--shards: \d shards of 5 tensors"):
        prepare_shards(PrepareConfig(str(photographs), tmp_path / "t.out"), sharding)


def test_only_what_is_missing_is_made_again(photographs: Path, tmp_path: Path) -> None:
    config = PrepareConfig(str(photographs), tmp_path / "t.out")
    prepare_shards(config, Sharding(3))
    first, second, third = tensorfile.files_of(config.output)
    made, kept = second.read_bytes(), [first.stat(), third.stat()]
    second.unlink()
    prepare_shards(config, Sharding(3))
    assert second.read_bytes() == made
    assert [first.stat().st_ino, third.stat().st_ino] == [one.st_ino for one in kept]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"random_seed": 1}, "RandomSeed 1, theirs 12345"),
        ({"layout": "nchw"}, "Layout nchw, theirs nhwc"),
        ({"changed": True}, "PhotographsSha256"),
        ({"without": True}, "no t-of-00003.json"),
    ],
)
def test_shards_of_another_recipe_are_not_mixed(
    photographs: Path, tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    config = PrepareConfig(str(photographs), tmp_path / "t.out")
    prepare_shards(config, Sharding(3))
    tensorfile.files_of(config.output)[1].unlink()
    if settings.pop("changed", False):
        (photographs / "3.png").write_bytes((photographs / "2.png").read_bytes())
    if settings.pop("without", False):
        tensorfile.recipe_path(config.output, 3).unlink()
    other = PrepareConfig(str(photographs), tmp_path / "t.out", **settings)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="--output") as raised:
        prepare_shards(other, Sharding(3))
    assert message in str(raised.value)


@pytest.mark.parametrize(("before", "after"), [(None, 2), (2, None), (2, 3)])
def test_what_would_be_a_mixture_is_refused_first(
    photographs: Path, tmp_path: Path, before: int | None, after: int | None
) -> None:
    config = PrepareConfig(str(photographs), tmp_path / "t.out")

    def make(count: int | None) -> None:
        prepare_shards(config, Sharding(count)) if count else prepare(config)

    make(before)
    there = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match="remove it, or name another"):
        make(after)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == there


@pytest.mark.parametrize("change", ["another", "gone"])
def test_photographs_that_change_meanwhile(photographs: Path, tmp_path: Path, change: str) -> None:
    config = PrepareConfig(str(photographs), tmp_path / "t.out")

    def act(what: str, done: int, total: int) -> None:
        if (what, done) != ("shards", 0):
            return
        if change == "gone":
            (photographs / "4.png").unlink()
        else:
            (photographs / "4.png").write_bytes((photographs / "0.png").read_bytes())

    expected = "4.png: was changed" if change == "another" else "files went while it was read"
    with pytest.raises(ConfigError, match=expected):
        prepare_shards(config, Sharding(2), on_progress=act)
    assert not tensorfile.shard_path(config.output, 2, 2).exists()
