"""MobileNet V1, run by OpenVINO as the embedded RedisAI-compatible server runs it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import triton_python_backend_utils as triton


class TritonPythonModel:
    """One instance, which runs a request at a time; `model.pb` lies beside this file."""

    def initialize(self, told: dict[str, str]) -> None:
        """Compile the model; `told` has Triton's configuration as JSON."""
        config = json.loads(told["model_config"])
        threads = int(config["parameters"]["threads"]["string_value"])
        self._output = config["output"][0]["name"]
        self._input = config["input"][0]["name"]
        core = openvino.Core()
        graph = core.read_model(Path(__file__).with_name("model.pb"))
        settings = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
        self._infer = core.compile_model(graph, "CPU", settings).create_infer_request()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer them one by one. DLPack, for as_numpy is of NumPy 1 alone."""
        answers = []
        for request in requests:
            images = np.from_dlpack(triton.get_input_tensor_by_name(request, self._input))
            (classes,) = self._infer.infer([images]).values()
            output = triton.Tensor.from_dlpack(self._output, np.array(classes))
            answers.append(triton.InferenceResponse([output]))
        return answers
