"""Run by Triton's Python backend: a decoupled model, whose requests have several replies or none.

Its input is how many, modulo 5; they are numbered from 0.
"""

from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from .arrays import to_array, to_tensor


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            sender = request.get_response_sender()
            count = int(to_array(triton.get_input_tensor_by_name(request, "x0")).flat[0]) % 5
            for number in range(count):
                reply = to_tensor("y0", np.array([[number]], np.int32))
                sender.send(triton.InferenceResponse([reply]))
            sender.send(flags=triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
