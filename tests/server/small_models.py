"""Small ONNX models with the float input x and the float output y."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper


def constant(name: str, values: "np.ndarray[Any, Any]") -> onnx.TensorProto:
    return onnx.numpy_helper.from_array(values, name)


def onnx_model(
    nodes: list[onnx.NodeProto],
    input_shape: list[str | int],
    output_shape: list[str | int],
    weights: list[onnx.TensorProto] | None = None,
) -> bytes:
    """A model file of these nodes."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output_shape)],
        weights or [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
