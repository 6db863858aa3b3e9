"""Shards made on the workers of a Dask cluster: processes here, which are another machine's too."""

import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commandline import Cli, command

from aibench_fast import cluster as clusters
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.tensors.prepare import PrepareConfig, prepare
from aibench_fast.tensors.sharding import Sharding, prepare_shards
from aibench_fast.tensors.tensorfile import files_of, shard_path

distributed = pytest.importorskip("distributed")

CROPS, SHARDS = 6, 30
LOCAL = {"host": "127.0.0.1", "dashboard_address": ":0"}


@pytest.fixture(scope="module")
def dask() -> Iterator[Any]:
    """A scheduler and two workers, each a process that is started again where it dies."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **LOCAL) as cluster:
        yield cluster


@pytest.fixture
def whole(photographs: Path, tmp_path: Path) -> bytes:
    """The photographs as one machine prepares them, in one file."""
    prepare(PrepareConfig(str(photographs), tmp_path / "whole.out", re_use_factor=CROPS))
    return (tmp_path / "whole.out").read_bytes()


def joined(output: Path) -> bytes:
    return b"".join(file.read_bytes() for file in files_of(output))


def as_folder(folder: Path) -> str:
    return str(folder)


def as_archive(folder: Path) -> str:
    path = folder.with_name("in.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for photograph in folder.iterdir():
            archive.write(photograph, photograph.name)
    return str(path)


def as_address(folder: Path) -> str:
    return f"file://{folder}"


def as_archive_at_an_address(folder: Path) -> str:
    return f"file://{as_archive(folder)}"


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("given", [as_folder, as_archive, as_address, as_archive_at_an_address])
def test_workers_make_the_bytes_of_one_machine(
    dask: Any, photographs: Path, tmp_path: Path, whole: bytes,
    given: Callable[[Path], str], shards: int,
) -> None:  # fmt: skip
    config = PrepareConfig(given(photographs), tmp_path / "t.out", re_use_factor=CROPS)
    with clusters.connect(dask.scheduler_address) as cluster:
        prepared = prepare_shards(config, Sharding(shards), cluster=cluster)
    assert (prepared.tensors, prepared.photographs) == (5 * CROPS, 5)
    assert len(files_of(config.output)) == shards
    assert joined(config.output) == whole


def test_the_command_skips_what_one_machine_skips(
    dask: Any, cli: Cli, photographs: Path, tmp_path: Path
) -> None:
    (photographs / "2b.jpg").write_bytes(b"no photograph")
    arguments = ("prepare", "--input", photographs, "--limit", 9, "--on-error", "skip")
    here = cli(*arguments, "--output", "here.out")
    there = cli(*arguments, "--output", "t.out", "--shards", 3, "--dask", dask.scheduler_address)
    assert (there.returncode, there.stderr) == (0, here.stderr)
    assert there.stderr.startswith("skipped 2b.jpg: ")
    assert joined(tmp_path / "t.out") == (tmp_path / "here.out").read_bytes()
    assert sorted(path.name for path in tmp_path.glob(".*")) == []  # no probe, no half a shard


def test_a_worker_that_is_killed_costs_no_byte(
    dask: Any, photographs: Path, tmp_path: Path, whole: bytes
) -> None:
    config = PrepareConfig(str(photographs), tmp_path / "t.out", re_use_factor=CROPS)
    killed = []

    def kill_one(what: str, done: int, total: int) -> None:
        if what == "shards" and done == 2:
            pid = next(worker.pid for worker in dask.workers.values())
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    with clusters.connect(dask.scheduler_address) as cluster:
        prepare_shards(config, Sharding(15), cluster=cluster, on_progress=kill_one)
    assert len(killed) == 1
    assert joined(config.output) == whole


def test_a_command_that_was_killed_goes_on_where_it_was(
    dask: Any, photographs: Path, tmp_path: Path
) -> None:
    small = {"size": 64, "crop": 64, "re_use_factor": 200}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in small.items()]
    arguments = ("prepare", "--input", photographs, *options, "--shards", SHARDS,
                 "--output", tmp_path / "t.out", "--dask", dask.scheduler_address)  # fmt: skip
    process = subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL)
    first = shard_path(tmp_path / "t.out", 1, SHARDS)
    deadline = time.monotonic() + 60
    while not first.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    kept = first.stat()
    assert len(list(tmp_path.glob("t-*.out"))) < SHARDS
    subprocess.run(command(*arguments), check=True, timeout=60, stdout=subprocess.DEVNULL)
    assert first.stat() == kept
    prepare(PrepareConfig(str(photographs), tmp_path / "whole.out", **small))
    assert joined(tmp_path / "t.out") == (tmp_path / "whole.out").read_bytes()


def test_a_worker_without_the_output_folder(
    dask: Any, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it saw another folder there: what the probe says is not what it finds."""
    from aibench_fast.tensors import sharding

    monkeypatch.setattr(sharding, "write_text", lambda path, text: path.write_text("another"))
    config = PrepareConfig(str(photographs), tmp_path / "t.out")
    with (
        clusters.connect(dask.scheduler_address) as cluster,
        pytest.raises(ConfigError, match=r"worker tcp://\S+: does not see what is written to"),
    ):
        prepare_shards(config, Sharding(2), cluster=cluster)
    assert list(tmp_path.iterdir()) == [photographs]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("return '99.0'", r"aibench-fast 99\.0, and here is \d"),
        ("raise PackageNotFoundError(name)", r"no aibench-fast \d.*install it there"),
    ],
)
def test_no_workers_and_workers_without_this_version(
    tmp_path: Path, answer: str, told: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.metadata\n"
        "def version(name):\n"
        f"    if name == 'aibench-fast': {answer}\n"
        "    return distribution(name).version\n"
        "importlib.metadata.version.__code__ = version.__code__\n"
    )
    with distributed.LocalCluster(n_workers=0, **LOCAL) as cluster:
        address = cluster.scheduler_address
        with (
            pytest.raises(ServerError, match="the Dask cluster has no workers"),
            clusters.connect(address),
        ):
            pass
        worker = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        )  # fmt: skip
        try:
            with distributed.Client(address, set_as_default=False) as client:
                client.wait_for_workers(1, timeout=60)
            expected = rf"the Dask worker tcp://\S+ on \S+ has {told}"
            with pytest.raises(ServerError, match=expected), clusters.connect(address):
                pass
        finally:
            worker.kill()
            worker.wait()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dask", "tcp://127.0.0.1:1"), "add --shards"),
        (("--shards", 2, "--dask", "localhost"), "not the address of a scheduler"),
        (("--shards", "2XB"), "is not a size"),
    ],
)
def test_wrong_words_are_one_line(
    cli: Cli, photographs: Path, arguments: tuple[object, ...], message: str
) -> None:
    done = cli("prepare", "--input", photographs, "--output", "t.out", *arguments, code=2, errors=1)
    assert message in done.stderr


def test_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "CONNECT_S", 0.3)
    with (
        pytest.raises(ServerError, match="no scheduler answers there"),
        clusters.connect("tcp://127.0.0.1:1"),
    ):
        pass


@pytest.mark.parametrize(("module", "extra"), [("distributed", "dask"), ("fsspec.core", "fsspec")])
def test_without_the_extra(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    config = PrepareConfig(f"file://{photographs}", tmp_path / "t.out")
    with pytest.raises(ConfigError, match=rf"pip install 'aibench-fast\[{extra}\]'"):
        if extra == "dask":
            with clusters.connect("tcp://127.0.0.1:1"):
                pass
        prepare(config)
