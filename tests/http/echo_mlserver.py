"""Run by MLServer's own interpreter: a model that answers its inputs, as its settings name them."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Echo(MLModel):
    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        pairs = zip(payload.inputs, self.settings.outputs, strict=True)
        outputs = [
            NumpyCodec.encode_output(told.name, NumpyCodec.decode_input(one)) for one, told in pairs
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)
