"""Run by KServe's own interpreter: models that answer their inputs, on the loopback alone.

usage: echo_kserve.py PORT MODELS, of which the latter is JSON: by name, inputs and outputs
"""

import json
import sys
from typing import Any

import uvicorn
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

LOOPBACK = "127.0.0.1"
Config = uvicorn.Config


class Echo(Model):
    def __init__(self, name: str, told: dict[str, list[dict[str, Any]]]) -> None:
        super().__init__(name)
        self._told = told
        self.ready = True

    async def get_input_types(self) -> list[dict[str, Any]]:
        return self._told["inputs"]

    async def get_output_types(self) -> list[dict[str, Any]]:
        return self._told["outputs"]

    async def predict(
        self, payload: InferRequest, headers: Any = None, response_headers: Any = None
    ) -> InferResponse:
        outputs = []
        for one, told in zip(payload.inputs, self._told["outputs"], strict=True):
            values = one.as_numpy()
            outputs.append(InferOutput(told["name"], list(values.shape), one.datatype))
            outputs[-1].set_data_from_numpy(values, binary_data=True)
        wanted = payload.request_outputs  # which say how they are wanted
        return InferResponse(payload.id, self.name, outputs, requested_outputs=wanted)


if __name__ == "__main__":
    # It has no option for the address that it listens at.
    uvicorn.Config = lambda *words, **told: Config(*words, **{**told, "host": LOOPBACK})
    models = [Echo(name, told) for name, told in json.loads(sys.argv[2]).items()]
    ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1).start(models)
