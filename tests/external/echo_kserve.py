"""Run by KServe's own interpreter: models that answer their inputs, on the loopback alone.

usage: echo_kserve.py PORT GRPC_PORT MODELS [OPTION of the server]...

MODELS is JSON: by name, inputs and outputs.
"""

import json
import sys
from typing import Any

import uvicorn
from grpc import aio
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

LOOPBACK = "127.0.0.1"
Config = uvicorn.Config
GrpcServer = type(aio.server())
listen = GrpcServer.add_insecure_port


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
        wanted = payload.request_outputs  # which say how they are wanted
        names = {one.name for one in wanted or ()}
        for one, told in zip(payload.inputs, self._told["outputs"], strict=True):
            if names and told["name"] not in names:  # which over gRPC is left to the model
                continue
            values = one.as_numpy()
            outputs.append(InferOutput(told["name"], list(values.shape), one.datatype))
            outputs[-1].set_data_from_numpy(values, binary_data=True)
        return InferResponse(payload.id, self.name, outputs, requested_outputs=wanted)


if __name__ == "__main__":
    # It has no option for the addresses that it listens at.
    uvicorn.Config = lambda *words, **told: Config(*words, **{**told, "host": LOOPBACK})
    GrpcServer.add_insecure_port = lambda self, where: listen(self, where.replace("[::]", LOOPBACK))
    port, grpc_port = map(int, sys.argv[1:3])
    models = [Echo(name, told) for name, told in json.loads(sys.argv[3]).items()]
    ModelServer(http_port=port, grpc_port=grpc_port, workers=1).start(models)
