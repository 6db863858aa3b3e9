"""MobileNet as a frozen TensorFlow GraphDef (`.pb`), written without TensorFlow.

Field numbers are those of tensorflow/core/framework: graph.proto, node_def.proto,
attr_value.proto, tensor.proto, tensor_shape.proto, types.proto and versions.proto. The node names
are those of the published frozen graph, and every operation exists in TensorFlow 1.x.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aibench_fast.models.mobilenet import CLASSES, IMAGE_SIZE, INPUT, OUTPUT, Convolution, MobileNet
from aibench_fast.models.protobuf import integer, integers, message, text

DATA_TYPES = {"<f4": 1, "<i4": 3}
DT_FLOAT = DATA_TYPES["<f4"]
DT_INT32 = DATA_TYPES["<i4"]
GRAPH_VERSION = 27  # TensorFlow 1.12's; a reader accepts older graphs, never newer ones


def graphdef(network: MobileNet) -> bytes:
    """Return the network as a serialized GraphDef."""
    nodes = [placeholder(INPUT, [-1, IMAGE_SIZE, IMAGE_SIZE, 3])]
    last = INPUT
    for convolution in network.features:
        nodes += convolution_nodes(convolution, last)
        last = f"{convolution.name}/Relu6"
        nodes.append(node(last, "Relu6", [f"{convolution.name}/BiasAdd"]))

    pool = "MobilenetV1/Logits/AvgPool_1a/AvgPool"
    window = [1, network.pool_size, network.pool_size, 1]
    nodes.append(
        node(
            pool,
            "AvgPool",
            [last],
            attribute("ksize", integer_list(window)),
            *spatial_attributes([1, 1, 1, 1], "VALID"),
        )
    )
    nodes += convolution_nodes(network.classifier, pool)

    squeeze = "MobilenetV1/Logits/SpatialSqueeze"
    shape = "MobilenetV1/Predictions/Reshape/shape"
    reshape = "MobilenetV1/Predictions/Reshape"
    softmax = "MobilenetV1/Predictions/Softmax"
    shape_type = attribute("Tshape", integer(6, DT_INT32))
    nodes += [
        node(
            squeeze,
            "Squeeze",
            [f"{network.classifier.name}/BiasAdd"],
            attribute("squeeze_dims", integer_list([1, 2])),
        ),
        constant(shape, np.array([-1, CLASSES], "<i4")),
        node(reshape, "Reshape", [squeeze, shape], shape_type),
        node(softmax, "Softmax", [reshape]),
        node(OUTPUT, "Reshape", [softmax, shape], shape_type),
    ]
    return b"".join([*nodes, message(4, integer(1, GRAPH_VERSION))])


def convolution_nodes(convolution: Convolution, source: str) -> list[bytes]:
    """Return weights, convolution and bias; the last node is `<name>/BiasAdd`."""
    name = convolution.name
    operation = "DepthwiseConv2dNative" if convolution.depthwise else "Conv2D"
    weights = f"{name}/depthwise_weights" if convolution.depthwise else f"{name}/weights"
    product = f"{name}/depthwise" if convolution.depthwise else f"{name}/Conv2D"
    stride = convolution.stride
    return [
        constant(weights, convolution.weights),
        constant(f"{name}/biases", convolution.bias),
        node(
            product,
            operation,
            [source, weights],
            attribute("dilations", integer_list([1, 1, 1, 1])),
            *spatial_attributes([1, stride, stride, 1], "SAME"),
        ),
        node(
            f"{name}/BiasAdd",
            "BiasAdd",
            [product, f"{name}/biases"],
            attribute("data_format", text(2, "NHWC")),
        ),
    ]


def node(name: str, operation: str, inputs: Sequence[str], *attributes: bytes) -> bytes:
    """Encode a node of the graph, computing in float32."""
    float_type = attribute("T", integer(6, DT_FLOAT))
    sources = [text(3, source) for source in inputs]
    return message(1, text(1, name), text(2, operation), *sources, float_type, *attributes)


def placeholder(name: str, shape: Sequence[int]) -> bytes:
    """Encode the graph's input; a dimension of -1 is free."""
    attributes = [
        attribute("dtype", integer(6, DT_FLOAT)),
        attribute("shape", message(7, tensor_shape(shape))),
    ]
    return message(1, text(1, name), text(2, "Placeholder"), *attributes)


def constant(name: str, values: npt.NDArray[np.generic]) -> bytes:
    """Encode a node with fixed values, float32 or int32."""
    data_type = DATA_TYPES[values.dtype.str]
    tensor = [
        integer(1, data_type),
        message(2, tensor_shape(values.shape)),
        message(4, values.tobytes()),
    ]
    attributes = [
        attribute("dtype", integer(6, data_type)),
        attribute("value", message(8, *tensor)),
    ]
    return message(1, text(1, name), text(2, "Const"), *attributes)


def spatial_attributes(strides: Sequence[int], padding: str) -> list[bytes]:
    """Return the attributes of every operation over rows and columns."""
    return [
        attribute("strides", integer_list(strides)),
        attribute("padding", text(2, padding)),
        attribute("data_format", text(2, "NHWC")),
    ]


def attribute(name: str, value: bytes) -> bytes:
    """Encode an entry of a node's attribute map; `value` is a field of AttrValue."""
    return message(5, text(1, name), message(2, value))


def integer_list(values: Sequence[int]) -> bytes:
    """Encode AttrValue's list of integers."""
    return message(1, integers(3, values))


def tensor_shape(shape: Sequence[int]) -> bytes:
    """Encode the fields of a TensorShapeProto."""
    return b"".join(message(2, integer(1, size)) for size in shape)
