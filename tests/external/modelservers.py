"""Real servers of the Open Inference Protocol with the models of `echomodels`.

KServe's and MLServer's packages want others than ours, so that `make servers` gives each an
environment of its own; without one its tests are skipped or, in CI, fail.
"""

import json
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from echomodels import MODELS, TRITON_MODELS, described, outputs_of
from serverprocesses import HERE, answers, program, serving

from aibench_fast.server.base import free_port
from aibench_fast.server.triton import TritonServer, write_code

MESSAGE_BYTES = 64 << 20
"""The largest message of gRPC, of the servers that have an option for it."""


class Urls(NamedTuple):
    """One server, by each of its protocols."""

    http: str
    grpc: str

    @classmethod
    def of(cls, port: int, grpc_port: int) -> "Urls":
        return cls(f"http://127.0.0.1:{port}", f"grpc://127.0.0.1:{grpc_port}")


@contextmanager
def kserve(folder: Path, message_bytes: int | None = MESSAGE_BYTES) -> Iterator[Urls]:
    """KServe's server while the block lasts; None: with its own limit of messages."""
    told = {
        name: {"inputs": described("x", datatypes), "outputs": outputs_of(datatypes)}
        for name, datatypes in MODELS.items()
    }
    python, port, grpc_port = program("kserve", "python"), free_port(), free_port()
    command = [python, HERE / "echo_kserve.py", port, grpc_port, json.dumps(told)]
    if message_bytes:
        limits = ("--grpc_max_receive_message_length", "--grpc_max_send_message_length")
        command += [f"{limit}={message_bytes}" for limit in limits]
    with _running([*map(str, command)], folder, Urls.of(port, grpc_port)) as urls:
        yield urls


@contextmanager
def mlserver(folder: Path, message_bytes: int | None = MESSAGE_BYTES) -> Iterator[Urls]:
    """MLServer while the block lasts; None: with its own limit of messages."""
    port, grpc_port = free_port(), free_port()
    settings: dict[str, Any] = {
        "host": "127.0.0.1", "http_port": port, "grpc_port": grpc_port, "metrics_endpoint": None,
        "parallel_workers": 0, "grpc_max_message_length": message_bytes,
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings))
    for name, datatypes in MODELS.items():
        told = {
            "name": name, "implementation": "echo_mlserver.Echo",
            "inputs": described("x", datatypes), "outputs": outputs_of(datatypes),
        }  # fmt: skip
        (folder / name).mkdir()
        (folder / name / "model-settings.json").write_text(json.dumps(told))
    command = [str(program("mlserver", "mlserver")), "start", str(folder)]
    with _running(command, folder, Urls.of(port, grpc_port)) as urls:
        yield urls


def port_of_triton() -> int:
    """A free port for HTTP, whose next one, for gRPC, is free too."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            port = free_port()
            probe.bind(("127.0.0.1", port + 1))
            return port


class EchoTriton(TritonServer):
    """Triton with those models beside its own."""

    def _write_models(self, folder: Path) -> None:
        super()._write_models(folder)
        for name, datatypes in TRITON_MODELS.items():
            packages = [_numpy_1()] if "BYTES" in datatypes else []
            _write_model(folder, name, "echo_triton.py", _triton_config(datatypes), packages)


class DecoupledTriton(TritonServer):
    """Triton with the model `decoupled`: an INT32, modulo 5, is how many replies a request has."""

    def _write_models(self, folder: Path) -> None:
        super()._write_models(folder)
        config = """
            backend: "python"
            model_transaction_policy { decoupled: True }
            input [{ name: "x0" data_type: TYPE_INT32 dims: [ -1, 1 ] }]
            output [{ name: "y0" data_type: TYPE_INT32 dims: [ -1, 1 ] }]
            instance_group [{ count: 1 kind: KIND_CPU }]
        """
        _write_model(folder, "decoupled", "decoupled_triton.py", config)


def _numpy_1() -> str:
    """NumPy 1, without which Triton's Python backend cannot read strings."""
    python = program("numpy1", "python")
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def _write_model(
    folder: Path, name: str, code: str, config: str, packages: Sequence[str] = ()
) -> None:
    """Write a model; `packages` are folders of some that its code prefers to ours."""
    version = folder / "models" / name / "1"
    preferred = f"sys.path[:0] = {[*packages]!r}\n"
    write_code(version, preferred + (HERE / code).read_text())
    (version.parent / "config.pbtxt").write_text(config)


def _triton_config(datatypes: tuple[str, ...]) -> str:
    told = ['backend: "python"', "instance_group [{ count: 1 kind: KIND_CPU }]"]
    for key, tensors in (("input", described("x", datatypes)), ("output", outputs_of(datatypes))):
        told += [
            f'{key} [{{ name: "{one["name"]}" data_type: TYPE_{_of_triton(one["datatype"])} '
            f"dims: {one['shape']} }}]"
            for one in tensors
        ]
    return "\n".join(told)


def _of_triton(datatype: object) -> object:
    """The name of a type in Triton's configuration."""
    return "STRING" if datatype == "BYTES" else datatype


@contextmanager
def triton(folder: Path) -> Iterator[Urls]:
    """Triton while the block lasts."""
    with EchoTriton("mobilenet") as server:
        yield Urls(server.url, server.grpc_url)


@contextmanager
def _running(command: list[str], folder: Path, urls: Urls) -> Iterator[Urls]:
    with serving(command, folder, lambda: _serves_all(urls)):
        yield urls


def _serves_all(urls: Urls) -> bool:
    ready = (f"{urls.http}/v2/models/{name}/ready" for name in MODELS)
    return _listens(urls.grpc) and all(map(answers, ready))


def _listens(url: str) -> bool:
    host, _, port = url.removeprefix("grpc://").rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
