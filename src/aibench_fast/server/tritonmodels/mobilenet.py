"""MobileNet V1, run by OpenVINO with the settings of the embedded RedisAI-compatible server."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import triton_python_backend_utils as triton

from .arrays import to_array, to_tensor

KEPT_SHAPES = 4


class TritonPythonModel:
    """One instance: runs one request at a time, with the `model.pb` beside this file."""

    def initialize(self, arguments: dict[str, str]) -> None:
        """Read Triton's configuration of the model, which is JSON."""
        config = json.loads(arguments["model_config"])
        self._output = config["output"][0]["name"]
        self._input = config["input"][0]["name"]
        self._settings = {
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": int(config["parameters"]["threads"]["string_value"]),
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self._core = openvino.Core()
        self._compiled: dict[tuple[int, ...], Any] = {}

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer them one by one."""
        answers = []
        for request in requests:
            images = to_array(triton.get_input_tensor_by_name(request, self._input))
            (classes,) = self._compiled_for(images.shape).infer([images]).values()
            output = to_tensor(self._output, np.array(classes))
            answers.append(triton.InferenceResponse([output]))
        return answers

    def _compiled_for(self, shape: tuple[int, ...]) -> Any:
        """Return the model for images of this shape; the last few shapes stay compiled."""
        found = self._compiled.pop(shape, None)
        if found is None:
            graph = self._core.read_model(Path(__file__).with_name("model.pb"))
            graph.reshape(shape)
            found = self._core.compile_model(graph, "CPU", self._settings).create_infer_request()
        self._compiled[shape] = found  # the last of them is the newest
        if len(self._compiled) > KEPT_SHAPES:
            del self._compiled[next(iter(self._compiled))]
        return found
