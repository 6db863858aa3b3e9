"""Measure what the embedded server adds to OpenVINO called by itself.

Both run the same MobileNet V1 on the same tensors, one at a time, with the same number of engine
threads and the same precision; rounds alternate. The figure is the ratio of the medians of the
time for an image:

    python benchmarks/embedded.py --rounds 5 --images 400
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from aibench_fast.load.config import DEFAULT_MODEL, available_cores
from aibench_fast.models import ModelFormat, built_in_model
from aibench_fast.models.load import Backend, ModelSpec, load_model
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.server import EmbeddedServer

SHAPE = (1, 224, 224, 3)
TO_REACH = 1.15
WARM_UP = 20


def engine_alone(model: Path, threads: int) -> openvino.InferRequest:
    core = openvino.Core()
    network = core.read_model(model)
    network.reshape(SHAPE)
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",  # what the server sets; half of it would be faster
    }
    return core.compile_model(network, "CPU", settings).create_infer_request()


def time_engine(request: openvino.InferRequest, tensors: NDArray[np.float32], images: int) -> float:
    """Seconds an image of the engine by itself."""
    for number in range(WARM_UP):
        request.infer([tensors[number % len(tensors)]])
    start = time.monotonic()
    for number in range(images):
        request.infer([tensors[number % len(tensors)]])
    return (time.monotonic() - start) / images


def time_run(folder: Path, port: int, tensors: Path, images: int) -> float:
    """Seconds an image of a run with one worker."""
    out = folder / "run.json"
    subprocess.run(
        [sys.executable, "-m", "aibench_fast", "run", "--port", str(port), "--file", str(tensors),
         "--burn-in", str(WARM_UP), "--max-queries", str(images + WARM_UP), "--quiet",
         "--json-out-file", str(out),
         "--output-file-stats-hdr-response-latency-hist", str(folder / "hist.txt")],
        check=True, capture_output=True,
    )  # fmt: skip
    return 1 / float(json.loads(out.read_text())["OverallRates"]["overallOpsRate"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--engine-threads", type=int, default=available_cores())
    options = parser.parse_args()
    alone: list[float] = []
    served: list[float] = []
    with (
        tempfile.TemporaryDirectory() as name,
        EmbeddedServer(engine_threads=options.engine_threads, password=None) as server,
    ):
        folder = Path(name)
        values = np.random.default_rng(1).random((50, *SHAPE), np.float32)
        tensors = folder / "tensors.out"
        values.tofile(tensors)
        blob = built_in_model(ModelFormat.ONNX)
        (folder / "model.onnx").write_bytes(blob)
        with Connection(server.address) as connection:
            spec = ModelSpec(name=DEFAULT_MODEL, backend=Backend.ONNX, blob=blob)
            load_model(connection, spec)
        request = engine_alone(folder / "model.onnx", options.engine_threads)
        for _ in range(options.rounds):
            alone.append(time_engine(request, values, options.images))
            served.append(time_run(folder, server.port, tensors, options.images))
    ratio = statistics.median(served) / statistics.median(alone)
    print(f"engine alone {statistics.median(alone) * 1e3:8.3f} ms an image")
    print(f"served       {statistics.median(served) * 1e3:8.3f} ms an image")
    print(f"served, as a multiple of the engine alone: {ratio:.3f} (at most {TO_REACH})")


if __name__ == "__main__":
    main()
