"""The messages of `inference.GRPCInferenceService`, by their fields.

Their names are those of the HTTP API's JSON, so that both are read alike. What is not read here is
not described. See https://github.com/kserve/open-inference-protocol and, for what extends it,
Triton's `grpc_service.proto`.
"""

from aibench_fast.protocols.openinference.grpc.wire import Field, Message, Scalar

SERVICE = "inference.GRPCInferenceService"
RAW_INPUTS = 7
"""The field of ModelInferRequest that has a tensor as it is in memory, once for each input."""

MODEL: Message = {"name": Field(1, Scalar.TEXT), "version": Field(2, Scalar.TEXT)}
"""ModelReadyRequest, ModelMetadataRequest and ModelStatisticsRequest."""
READY: Message = {"ready": Field(1, Scalar.BOOL)}
"""ModelReadyResponse."""
SERVER: Message = {
    "name": Field(1, Scalar.TEXT),
    "version": Field(2, Scalar.TEXT),
    "extensions": Field(3, Scalar.TEXT, is_repeated=True),
}
"""ServerMetadataResponse."""

_TENSOR: Message = {
    "name": Field(1, Scalar.TEXT),
    "datatype": Field(2, Scalar.TEXT),
    "shape": Field(3, Scalar.INT64, is_repeated=True),
}
MODEL_METADATA: Message = {
    "inputs": Field(4, _TENSOR, is_repeated=True),
    "outputs": Field(5, _TENSOR, is_repeated=True),
}
"""ModelMetadataResponse."""

_INDEXED: Message = {"name": Field(1, Scalar.TEXT), "state": Field(3, Scalar.TEXT)}
INDEX: Message = {"models": Field(1, _INDEXED, is_repeated=True)}
"""RepositoryIndexResponse."""

_DURATION: Message = {"count": Field(1, Scalar.UINT64), "ns": Field(2, Scalar.UINT64)}
_INFERENCES: Message = {
    "success": Field(1, _DURATION),
    "fail": Field(2, _DURATION),
    "queue": Field(3, _DURATION),
    "compute_input": Field(4, _DURATION),
    "compute_infer": Field(5, _DURATION),
    "compute_output": Field(6, _DURATION),
}
_COUNTED: Message = {
    "inference_count": Field(4, Scalar.UINT64),
    "execution_count": Field(5, Scalar.UINT64),
    "inference_stats": Field(6, _INFERENCES),
}
STATISTICS: Message = {"model_stats": Field(1, _COUNTED, is_repeated=True)}
"""ModelStatisticsResponse."""

REGION: Message = {
    "name": Field(1, Scalar.TEXT),
    "key": Field(2, Scalar.TEXT),
    "byte_size": Field(4, Scalar.UINT64),
}
"""SystemSharedMemoryRegisterRequest, SystemSharedMemoryUnregisterRequest."""
REGIONS: Message = {"regions": Field(1, {"key": Field(1, Scalar.TEXT)}, is_repeated=True)}
"""SystemSharedMemoryStatusResponse: a map by the regions' names."""

_PARAMETER: Message = {
    "bool_param": Field(1, Scalar.BOOL),
    "int64_param": Field(2, Scalar.WIDE_INT64),
    "string_param": Field(3, Scalar.TEXT),
}
_PARAMETERS = Field(
    4, {"key": Field(1, Scalar.TEXT), "value": Field(2, _PARAMETER)}, is_repeated=True
)
_INPUT: Message = {**_TENSOR, "parameters": _PARAMETERS}
_OUTPUT: Message = {"name": Field(1, Scalar.TEXT), "parameters": _PARAMETERS._replace(number=2)}
INFER_REQUEST: Message = {
    "model_name": Field(1, Scalar.TEXT),
    "model_version": Field(2, Scalar.TEXT),
    "id": Field(3, Scalar.TEXT),
    "parameters": _PARAMETERS,
    "inputs": Field(5, _INPUT, is_repeated=True),
    "outputs": Field(6, _OUTPUT, is_repeated=True),
}
"""ModelInferRequest without its tensors, which stand behind: see RAW_INPUTS."""
_STRINGS: Message = {"bytes_contents": Field(8, Scalar.BYTES, is_repeated=True)}
INFER_RESPONSE: Message = {
    "outputs": Field(5, {**_TENSOR, "contents": Field(5, _STRINGS)}, is_repeated=True),
    "raw_output_contents": Field(6, Scalar.BYTES, is_repeated=True),
}
"""ModelInferResponse; of typed contents it has strings alone."""
STREAM_RESPONSE: Message = {
    "error_message": Field(1, Scalar.TEXT),
    "infer_response": Field(2, Scalar.BYTES),
}
"""ModelStreamInferResponse, with its ModelInferResponse as bytes."""
