"""MobileNet V1 as model files, and loading a model into a server."""

from enum import StrEnum

from aibench_fast.errors import ConfigError
from aibench_fast.models.graphdef import graphdef
from aibench_fast.models.mobilenet import mobilenet_v1
from aibench_fast.models.onnx_model import onnx_model


class ModelFormat(StrEnum):
    """A kind of model file, by its usual suffix."""

    PB = "pb"
    TFLITE = "tflite"
    ONNX = "onnx"


def built_in_model(model_format: ModelFormat) -> bytes:
    """Return MobileNet V1 with seeded weights as a model file: the same bytes on every machine.

    Raises ConfigError where the packages that TensorFlow Lite's format needs are not installed.
    """
    network = mobilenet_v1()
    if model_format is ModelFormat.PB:
        return graphdef(network)
    if model_format is ModelFormat.ONNX:
        return onnx_model(network)
    try:
        from aibench_fast.models.tflite_model import tflite_model
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"a .tflite model needs the package {error.name!r}, which is not installed; "
            "run: pip install 'aibench-fast[server]'"
        ) from error
    return tflite_model(network)
