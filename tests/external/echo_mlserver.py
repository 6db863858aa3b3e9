"""Run by MLServer's own interpreter: a model that answers its inputs, as its settings name them."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput, ResponseOutput


class Echo(MLModel):
    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        pairs = zip(payload.inputs, self.settings.outputs, strict=True)
        wanted = [one.name for one in payload.outputs or ()]
        outputs = [echoed(told.name, one) for one, told in pairs if told.name in wanted]
        return InferenceResponse(model_name=self.name, outputs=outputs)


def echoed(name: str, one: RequestInput) -> ResponseOutput:
    if one.datatype == "BYTES":
        return ResponseOutput(name=name, shape=one.shape, datatype=one.datatype, data=one.data)
    return NumpyCodec.encode_output(name, NumpyCodec.decode_input(one))
