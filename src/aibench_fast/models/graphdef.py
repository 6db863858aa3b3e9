"""MobileNet as a frozen TensorFlow GraphDef (`.pb`), written without TensorFlow.

Field numbers are those of tensorflow/core/framework: graph.proto, node_def.proto,
attr_value.proto, tensor.proto, tensor_shape.proto, types.proto and versions.proto. The node names
are those of the published frozen graph, and every operation exists in TensorFlow 1.x.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aibench_fast.models.mobilenet import CLASSES, IMAGE_SIZE, INPUT, OUTPUT, Convolution, MobileNet
from aibench_fast.models.protobuf import Fields, encoded, packed

DATA_TYPES = {"<f4": 1, "<i4": 3}
GRAPH_VERSION = 27  # TensorFlow 1.12's; a reader accepts older graphs, never newer ones
FLOAT: Fields = {6: DATA_TYPES["<f4"]}
INT32: Fields = {6: DATA_TYPES["<i4"]}
NHWC: Fields = {2: "NHWC"}


def graphdef(network: MobileNet) -> bytes:
    """Return the network as a serialized GraphDef."""
    shape = tensor_shape([-1, IMAGE_SIZE, IMAGE_SIZE, 3])
    nodes = [node(INPUT, "Placeholder", dtype=FLOAT, shape={7: shape})]
    last = INPUT
    for convolution in network.features:
        nodes += convolution_nodes(convolution, last)
        last = f"{convolution.name}/Relu6"
        nodes.append(node(last, "Relu6", [f"{convolution.name}/BiasAdd"], T=FLOAT))

    pool = "MobilenetV1/Logits/AvgPool_1a/AvgPool"
    size = integers([1, network.pool_size, network.pool_size, 1])
    steps = integers([1, 1, 1, 1])
    nodes.append(
        node(
            pool, "AvgPool", [last],
            T=FLOAT, ksize=size, strides=steps, padding={2: "VALID"}, data_format=NHWC,
        )
    )  # fmt: skip
    nodes += convolution_nodes(network.classifier, pool)

    logits = f"{network.classifier.name}/BiasAdd"
    squeeze = "MobilenetV1/Logits/SpatialSqueeze"
    shape_name = "MobilenetV1/Predictions/Reshape/shape"
    reshape = "MobilenetV1/Predictions/Reshape"
    softmax = "MobilenetV1/Predictions/Softmax"
    nodes += [
        node(squeeze, "Squeeze", [logits], T=FLOAT, squeeze_dims=integers([1, 2])),
        constant(shape_name, np.array([-1, CLASSES], "<i4")),
        node(reshape, "Reshape", [squeeze, shape_name], T=FLOAT, Tshape=INT32),
        node(softmax, "Softmax", [reshape], T=FLOAT),
        node(OUTPUT, "Reshape", [softmax, shape_name], T=FLOAT, Tshape=INT32),
    ]
    return encoded({1: nodes, 4: {1: GRAPH_VERSION}})


def convolution_nodes(convolution: Convolution, source: str) -> list[Fields]:
    """Return weights, convolution and bias; the last node is `<name>/BiasAdd`."""
    name, stride = convolution.name, convolution.stride
    operation = "DepthwiseConv2dNative" if convolution.depthwise else "Conv2D"
    weights = f"{name}/depthwise_weights" if convolution.depthwise else f"{name}/weights"
    product = f"{name}/depthwise" if convolution.depthwise else f"{name}/Conv2D"
    return [
        constant(weights, convolution.weights),
        constant(f"{name}/biases", convolution.bias),
        node(
            product, operation, [source, weights],
            T=FLOAT, dilations=integers([1, 1, 1, 1]), strides=integers([1, stride, stride, 1]),
            padding={2: "SAME"}, data_format=NHWC,
        ),
        node(
            f"{name}/BiasAdd", "BiasAdd", [product, f"{name}/biases"], T=FLOAT, data_format=NHWC
        ),
    ]  # fmt: skip


def node(name: str, operation: str, inputs: Sequence[str] = (), **attributes: Fields) -> Fields:
    """Return a node of the graph; each attribute is the fields of an AttrValue."""
    entries = [{1: key, 2: value} for key, value in attributes.items()]
    return {1: name, 2: operation, 3: [*inputs], 5: entries}


def constant(name: str, values: npt.NDArray[np.generic]) -> Fields:
    """Return a node with fixed values, float32 or int32."""
    data_type = DATA_TYPES[values.dtype.str]
    tensor = {1: data_type, 2: tensor_shape(values.shape), 4: values.tobytes()}
    return node(name, "Const", dtype={6: data_type}, value={8: tensor})


def integers(values: Sequence[int]) -> Fields:
    """Return an AttrValue that is a list of integers."""
    return {1: {3: packed(values)}}


def tensor_shape(sizes: Sequence[int]) -> Fields:
    """Return a TensorShapeProto; a dimension of -1 is free."""
    return {2: [{1: size} for size in sizes]}
