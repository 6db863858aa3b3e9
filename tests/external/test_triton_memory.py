"""Tensors in shared memory that a real Triton maps: what is answered, and what is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Cli, command
from dask.distributed import Client, LocalCluster
from echomodels import TRITON_MODELS, VALUES, drawn
from modelservers import EchoTriton

from aibench_fast import RunConfig, _core, run
from aibench_fast.load.kinds import InputTensor, RequestKind
from aibench_fast.protocols.openinference.settings import SharedMemory
from aibench_fast.results.compare import compare
from aibench_fast.results.files import read_record
from aibench_fast.server.triton import TritonServer
from aibench_fast.tensortype import canonical

REGIONS = Path("/dev/shm")
TENSORS = 7


@pytest.fixture(scope="module")
def server() -> Iterator[TritonServer]:
    with EchoTriton("mobilenet") as one:
        yield one


@pytest.fixture(params=["http", "grpc"])
def url(request: pytest.FixtureRequest, server: TritonServer) -> str:
    """Of the same server, by either protocol."""
    return server.url if request.param == "http" else server.grpc_url


@pytest.fixture
def tensors(tmp_path: Path) -> Path:
    """Tensors for the model that answers its FP32 input."""
    file = tmp_path / "tensors.out"
    drawn("FP32", TENSORS, 1).tofile(file)
    return file


def registered(server: TritonServer) -> list[str]:
    """The regions that a Triton has mapped."""
    with urllib.request.urlopen(f"{server.url}/v2/systemsharedmemory/status") as told:
        return [str(one["name"]) for one in json.load(told)]


def left(pid: int | None = None) -> list[str]:
    """The regions of a process, or this one, that have a name."""
    return [path.name for path in REGIONS.glob(f"aibench-fast-*-{pid or os.getpid()}-*")]


@pytest.fixture(params=[*SharedMemory])
def what(request: pytest.FixtureRequest) -> SharedMemory:
    """The tensors that are in shared memory."""
    found: SharedMemory = request.param
    return found


def shared(url: str, **settings: Any) -> RunConfig:
    usual: dict[str, Any] = {
        "file": None, "model": "fp32", "max_queries": 40, "shared_memory": SharedMemory.INPUTS,
    }  # fmt: skip
    return RunConfig(url=url, **usual | settings)


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_every_output_is_that_of_its_own_tensor(
    server: TritonServer, url: str, tensors: Path, batch_size: int, seed: int, what: SharedMemory
) -> None:
    """Also of batches over the file's end, and of those that are larger than the file."""
    result = run(
        shared(
            url, file=tensors, shape=(VALUES,), reference_file=tensors, tolerance=0, workers=3,
            batch_size=batch_size, seed=seed, max_queries=30 * batch_size, shared_memory=what,
        )
    )  # fmt: skip
    assert (result.successes, result.failures) == (30, {})
    assert result.facts["SharedMemory"] == what
    assert registered(server) == left() == []


def test_each_input_has_a_place_of_its_own(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: SharedMemory
) -> None:
    outputs: list[bytes] = []

    class Recording(_core.LoadGenerator):
        def start(self, at_ns: int = 0) -> None:
            self.want_sample()
            super().start(at_ns)

        def take_sample(self) -> tuple[int, int, bytes] | None:
            sample = super().take_sample()
            outputs.extend([sample[2]] if sample else [])
            return sample

    monkeypatch.setattr(_core, "LoadGenerator", Recording)
    for model, datatypes in TRITON_MODELS.items():
        inputs, arrays = [], []
        for place, datatype in enumerate(datatypes):
            arrays.append(drawn(datatype, 2, place))
            file = tmp_path / f"{model}-{place}"
            if datatype == "BYTES":
                file = file.with_suffix(".jsonl")
                rows = [[word.decode() for word in row] for row in arrays[-1]]
                file.write_text("\n".join(map(json.dumps, rows)))
            else:
                arrays[-1].tofile(file)
            inputs.append(InputTensor(file, (VALUES,), canonical(datatype), f"x{place}"))
        for place, array in enumerate(arrays):
            if array.dtype == object:
                continue
            outputs.clear()
            result = run(
                shared(
                    url, model=model, inputs=tuple(inputs), batch_size=2, max_queries=8,
                    shared_memory=what,
                    outputs=(f"{'x' if 'BYTES' in datatypes else 'y'}{place}",),
                )
            )  # fmt: skip
            assert (result.successes, result.failures) == (4, {}), (model, place)
            assert set(outputs) == {array.tobytes()}, (model, place)


def test_an_output_that_differs_is_a_failure(url: str, tensors: Path, tmp_path: Path) -> None:
    """So that outputs in memory are really compared."""
    other = np.fromfile(tensors, np.float32)
    other[2 * VALUES + 1] = -1 - other[2 * VALUES + 1]
    other.tofile(tmp_path / "references.out")
    result = run(
        shared(
            url, file=tensors, shape=(VALUES,), reference_file=tmp_path / "references.out",
            max_queries=2 * TENSORS, shared_memory=SharedMemory.ALL,
        )
    )  # fmt: skip
    assert {kind: one.count for kind, one in result.failures.items()} == {"wrong_output": 2}
    assert "tensor 2, value 1: " in result.failures["wrong_output"].first_message


def test_kinds_of_a_mix_share_a_region(server: TritonServer, url: str, what: SharedMemory) -> None:
    kinds = tuple(
        RequestKind(
            model,
            tuple(
                InputTensor(None, (VALUES,), canonical(datatype), f"x{place}")
                for place, datatype in enumerate(TRITON_MODELS[model])
            ),
            batch_size,
        )
        for model, batch_size in (("fp32", 3), ("several", 1))
    )
    result = run(shared(url, mix=kinds, workers=2, shared_memory=what))
    assert (result.successes, result.failures) == (40, {})
    assert all(kind.successes for kind in result.kinds)
    assert registered(server) == left() == []


def test_only_what_is_sent_is_put_there(url: str, tensors: Path) -> None:
    sizes = [
        run(
            shared(url, file=tensors, shape=(VALUES,), max_queries=count, batch_size=2)
        ).facts["SharedMemoryBytes"]
        for count in (2, 6, 0, 40)
    ]  # fmt: skip
    assert [size // (4 * VALUES) for size in sizes] == [2, 6, TENSORS + 1, TENSORS + 1]


def test_streams_of_a_connection_share_inputs_and_not_outputs(
    server: TritonServer, tensors: Path, cli: Cli
) -> None:
    """A worker has one place for outputs."""
    result = run(
        shared(
            server.grpc_url, file=tensors, shape=(VALUES,), reference_file=tensors, tolerance=0,
            pipeline=4, workers=2, max_queries=60,
        )
    )  # fmt: skip
    assert (result.successes, result.failures) == (60, {})
    done = cli(
        "run", "--url", server.grpc_url, "--model", "fp32", "--file", tensors, "--shape", VALUES,
        "--shared-memory", "all", "--pipeline", 2, code=2, errors=1,
    )  # fmt: skip
    assert "over gRPC with --shared-memory all has no such setting" in done.stderr
    assert registered(server) == left() == []


def test_a_server_with_two_addresses_maps_it_once(
    server: TritonServer, url: str, tensors: Path, what: SharedMemory
) -> None:
    other = url.replace("127.0.0.1", "localhost")
    result = run(
        shared(
            url, others=(other,), file=tensors, shape=(VALUES,), reference_file=tensors,
            tolerance=0, workers=3, shared_memory=what,
        )
    )  # fmt: skip
    assert (result.successes, result.failures, len(result.servers)) == (40, {}, 2)
    assert registered(server) == left() == []


def test_a_refused_trial_leaves_nothing(cli: Cli, server: TritonServer, url: str) -> None:
    cli(
        "run", "--url", url, "--model", "fp32", "--shared-memory", "--verify", "no.out",
        "--shape", VALUES, "--max-queries", 3, code=2, errors=1,
    )  # fmt: skip
    assert registered(server) == left() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_end_by_a_signal_leaves_nothing_to_the_next_run(
    cli: Cli, server: TritonServer, url: str, tensors: Path, tmp_path: Path, number: signal.Signals
) -> None:
    words = [
        "run", "--url", url, "--model", "fp32", "--file", tensors, "--shape", VALUES,
        "--shared-memory", "all", "--quiet",
    ]  # fmt: skip
    with subprocess.Popen(
        command(*words, "--duration", "100s"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
    ) as process:  # fmt: skip
        until_s = time.monotonic() + 60
        while len(registered(server)) < 2 or left(process.pid):  # until the run has begun
            assert process.poll() is None and time.monotonic() < until_s
            time.sleep(0.01)
        names = registered(server)
        assert all(f"-{process.pid}-" in name for name in names)
        process.send_signal(number)
        process.communicate()
    assert registered(server) == (names if number == signal.SIGKILL else [])
    assert left(process.pid) == []
    cli(*words, "--max-queries", 5, code=0)
    assert registered(server) == left() == []


MAKES_A_REGION = """
import sys
from aibench_fast.protocols.openinference.sharedmemory import Region
print(Region(1000).name, flush=True)
sys.stdin.read()
"""


def test_what_the_living_own_stays(server: TritonServer, url: str, tensors: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MAKES_A_REGION], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    ) as owner:  # fmt: skip
        name = owner.stdout.readline().strip()
        earlier = name.split("-")
        earlier[4] = str(int(earlier[4]) - 1)  # of a process that had the same id before
        files = [REGIONS / name, REGIONS / "-".join(earlier)]
        files[1].write_bytes(bytes(1000))
        try:
            for one in files:
                register(server, one.name)
            assert run(shared(url, file=tensors, shape=(VALUES,))).successes == 40
            assert registered(server) == left(owner.pid) == [name]
        finally:
            owner.kill()
            owner.wait()
            assert run(shared(url, file=tensors, shape=(VALUES,))).successes == 40
    assert registered(server) == left(owner.pid) == []


def register(server: TritonServer, name: str) -> None:
    told = json.dumps({"key": f"/{name}", "offset": 0, "byte_size": 1000}).encode()
    at = f"{server.url}/v2/systemsharedmemory/region/{name}/register"
    with urllib.request.urlopen(urllib.request.Request(at, told, method="POST")):
        pass


def test_results_are_told_apart(url: str, tensors: Path, cli: Cli, tmp_path: Path) -> None:
    words = ["--url", url, "--model", "fp32", "--file", tensors, "--shape", VALUES]
    for name, more in (("a", []), ("b", ["--shared-memory"])):
        done = cli("run", *words, *more, "--max-queries", 20, "--json-out-file", f"{name}.json")
        assert done.returncode == 0, done.stderr
        assert ("Shared memory: inputs, " in done.stdout) == (name == "b")
    a, b = ([read_record(tmp_path / f"{name}.json")] for name in "ab")
    told = [str(one) for one in compare(a, b).differences]
    assert "shared memory: none in A, inputs in B" in told


def test_a_region_that_another_user_cannot_open_is_one_line(
    server: TritonServer, url: str, tensors: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    """As on another machine: nothing has that name."""
    from aibench_fast.protocols.openinference.sharedmemory import Region

    monkeypatch.setattr(Region, "key", property(lambda region: f"/elsewhere-{region.name}"))
    done = cli(
        "run", "--url", url, "--model", "fp32", "--file", tensors, "--shape", VALUES,
        "--shared-memory", code=3, errors=1,
    )  # fmt: skip
    assert "Unable to open shared memory region" in done.stderr
    assert "has to run on this machine" in done.stderr
    assert registered(server) == left() == []


def test_each_dask_client_has_regions_of_its_own(
    server: TritonServer, url: str, tensors: Path, what: SharedMemory
) -> None:
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as dask,
    ):
        result = run(
            shared(
                url, file=tensors, shape=(VALUES,), reference_file=tensors, tolerance=0, workers=4,
                batch_size=2, max_queries=60, shared_memory=what,
            ),
            client=dask, clients=2,
        )  # fmt: skip
        pids = dask.run(os.getpid).values()
        assert [left(pid) for pid in pids] == [[], []]
    assert (result.successes, result.failures, len(result.clients)) == (30, {}, 2)
    assert registered(server) == []


def test_a_sweep_registers_for_each_run(
    cli: Cli, server: TritonServer, url: str, tensors: Path, tmp_path: Path
) -> None:
    (tmp_path / "grid.toml").write_text(
        f'url = "{url}"\nmodel = "fp32"\nfile = "{tensors}"\nshape = "{VALUES}"\n'
        'shared-memory = "all"\nworkers = [1, 2]\nbatch-size = [1, 3]\nmax-queries = 30\n'
    )
    cli("sweep", "--grid", "grid.toml", code=0)
    facts = [
        json.loads(file.read_text())["Facts"] for file in (tmp_path / "results").glob("*.json")
    ]
    assert [one["SharedMemory"] for one in facts] == ["all"] * 4
    assert registered(server) == left() == []
