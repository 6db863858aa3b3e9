"""A real Triton from the wheel `nvidia-pytriton`: started, waited for and stopped."""

import json
import os
import shutil
import site
import subprocess
import sys
import sysconfig
from importlib.resources import files
from pathlib import Path

from aibench_fast.errors import ConfigError
from aibench_fast.models import ModelFormat, built_in_model
from aibench_fast.models.mobilenet import INPUT, OUTPUT
from aibench_fast.server.base import (
    STOP_TIMEOUT_S,
    Server,
    answer_to_get,
    free_port,
    package_folder,
)

INSTALL = "pip install 'aibench-fast[server,triton]'"
NULL_MODEL, NULL_INPUT, NULL_OUTPUT = "null", "input", "output"
_WITH_LIFELINE = f"""\
exec 3<&0 </dev/null
(read -r end <&3; kill -TERM "$$"; sleep {STOP_TIMEOUT_S:.0f}; kill -KILL "-$$") &
exec "$@" 3<&-
"""
"""A shell that becomes the program of its arguments. A child of it waits for the end of standard
input, a pipe that closes with our process, and then ends the session.

Not PR_SET_PDEATHSIG: that signals when the thread that started the process ends.
"""

_MODELS = files("aibench_fast.server.tritonmodels")
_SHARED_MEMORY = Path("/dev/shm")


class TritonServer(Server):
    """A Triton with the built-in MobileNet V1 and a model `null`.

    Args:
        model: the name of the MobileNet.
        port: TCP port for HTTP; gRPC gets the next one. 0 picks free ones.
        engine_threads: threads of an inference; 0 for every core.

    Raises ConfigError if the wheel is not installed or does not support this Python, and
    ServerError, with the last lines of its log, if the server does not start.
    """

    _prefix = "aibench-triton-"

    def __init__(self, model: str, port: int = 0, engine_threads: int = 0) -> None:
        """Check the arguments and find the server's parts; start nothing."""
        if not 0 <= port < 65535:
            raise ConfigError(
                f"--port {port}: a port is a number from 1 to 65534, as gRPC gets the next one, or "
                "0 for any"
            )
        super().__init__("Triton", port)
        self.models = [model, NULL_MODEL]
        """The names of its models."""
        self._wanted_port = port
        self.grpc_port = 0
        """The port where it listens for gRPC."""
        self.metrics_port = 0
        """The port of its Prometheus metrics."""
        self._engine_threads = engine_threads or len(os.sched_getaffinity(0))
        package = package_folder("pytriton")
        if package is None:
            raise ConfigError(f"a Triton needs the package nvidia-pytriton: {INSTALL}")
        self._package = package
        self._stub = _stub(package)

    @property
    def url(self) -> str:
        """The URL of the server over HTTP."""
        return f"http://{self.host}:{self.port}"

    @property
    def grpc_url(self) -> str:
        """The URL of the same server over gRPC."""
        return f"grpc://{self.host}:{self.grpc_port}"

    def _write_models(self, folder: Path) -> None:
        """Write both models, of images to classes, and the backend that runs them."""
        images = "data_type: TYPE_FP32 dims: [ -1, 224, 224, 3 ]"
        threads = f'key: "threads" value {{ string_value: "{self._engine_threads}" }}'
        for name, source, input_name, output_name in (
            (self.models[0], "mobilenet", INPUT, OUTPUT),
            (NULL_MODEL, "null", NULL_INPUT, NULL_OUTPUT),
        ):
            version = folder / "models" / name / "1"
            write_code(version, (_MODELS / f"{source}.py").read_text())
            (version.parent / "config.pbtxt").write_text(
                'backend: "python"\n'
                f'input [{{ name: "{input_name}" {images} }}]\n'
                f'output [{{ name: "{output_name}" data_type: TYPE_FP32 dims: [ -1, 1001 ] }}]\n'
                "instance_group [{ count: 1 kind: KIND_CPU }]\n"
                f"parameters {{ {threads} }}\n"
            )
        graph = built_in_model(ModelFormat.PB)
        (folder / "models" / self.models[0] / "1" / "model.pb").write_bytes(graph)
        backend = folder / "backends" / "python"
        of_wheel = self._package / "tritonserver" / "backends" / "python"
        shutil.copytree(of_wheel, backend)
        shutil.copy2(self._stub, backend)

    def _launch(self, lifeline: int) -> subprocess.Popen[bytes]:
        if not (self._folder / "models").exists():  # at another port they are there, and in use
            self._write_models(self._folder)
            self._ends.callback(_remove_regions, self._folder.name)
        self.grpc_port = self.port + 1 if self._wanted_port else free_port()
        self.metrics_port = free_port()
        program = self._package / "tritonserver" / "bin" / "tritonserver"
        libraries = self._package.parent / "nvidia_pytriton.libs"
        path = f"{libraries}:{sysconfig.get_config_var('LIBDIR')}"
        return self._started(
            ["sh", "-c", _WITH_LIFELINE, "sh", str(program), *self._options()],
            stdin=lifeline,
            env=os.environ | {"LD_LIBRARY_PATH": path},
        )

    def _options(self) -> list[str]:
        folder = self._folder
        return [
            f"--model-repository={folder / 'models'}",
            f"--backend-directory={folder / 'backends'}",
            f"--backend-config=python,shm-region-prefix-name={folder.name}",
            f"--http-address={self.host}",
            f"--http-port={self.port}",
            f"--metrics-address={self.host}",
            f"--metrics-port={self.metrics_port}",
            f"--grpc-address={self.host}",
            f"--grpc-port={self.grpc_port}",
        ]

    def _is_ready(self) -> bool:
        """Return whether its models and its metrics are ready; store its version.

        The metrics come last; if another program has their port, the server ends.
        """
        metrics = answer_to_get(self.metrics_port, "/metrics")
        if metrics is None or b"nv_" not in metrics:
            return False
        if answer_to_get(self.port, "/v2/health/ready") is None:
            return False
        metadata = answer_to_get(self.port, "/v2")
        if metadata is None:
            return False
        self.version = str(json.loads(metadata)["version"])
        return True


def _remove_regions(prefix: str) -> None:
    """Remove the shared memory of its models, which a killed server leaves."""
    for region in _SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def _stub(package: Path) -> Path:
    """Return the program that runs models in an interpreter of this Python's version."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = (
        package / "tritonserver" / "python_backend_stubs" / version / "triton_python_backend_stub"
    )
    if not stub.is_file():
        raise ConfigError(f"nvidia-pytriton has no Triton for Python {version}")
    return stub


def write_code(version: Path, code: str) -> None:
    """Write a model's Python code to the new folder of its version, with the path to packages."""
    version.mkdir(parents=True)
    paths = [*site.getsitepackages(), site.getusersitepackages()]
    (version / "model.py").write_text(f"import sys\n\nsys.path[:0] = {paths!r}\n{code}")
    (version / "arrays.py").write_text((_MODELS / "arrays.py").read_text())
