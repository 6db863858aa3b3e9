"""MobileNet as an ONNX model, written without the onnx package.

Field numbers are those of onnx.proto. Opset 11 is what the ONNX Runtime of the oldest RedisAI
reads, and has every operator used here.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aibench_fast.models.mobilenet import CLASSES, IMAGE_SIZE, INPUT, OUTPUT, Convolution, MobileNet
from aibench_fast.models.protobuf import Fields, encoded, packed

IR_VERSION = 6
OPSET = 11
TENSOR_TYPES = {"<f4": 1, "<i8": 7}
FLOAT_TYPE = TENSOR_TYPES["<f4"]
ATTRIBUTE_INT = 2
ATTRIBUTE_INTS = 7


def onnx_model(network: MobileNet) -> bytes:
    """Return the network as a serialized ModelProto."""
    transposed = f"{INPUT}/nchw"
    nodes = [node("Transpose", [INPUT], transposed, perm=[0, 3, 1, 2])]
    constants = [
        tensor("relu6/min", np.array(0, "<f4")),
        tensor("relu6/max", np.array(6, "<f4")),
        tensor("MobilenetV1/Predictions/Reshape/shape", np.array([-1, CLASSES], "<i8")),
    ]
    last = transposed
    for convolution in network.features:
        constants += weights(convolution)
        relu = f"{convolution.name}/Relu6"
        nodes += [
            convolution_node(convolution, last),
            node("Clip", [f"{convolution.name}/BiasAdd", "relu6/min", "relu6/max"], relu),
        ]
        last = relu

    classifier = network.classifier
    pool = "MobilenetV1/Logits/AvgPool_1a/AvgPool"
    reshape = "MobilenetV1/Predictions/Reshape"
    constants += weights(classifier)
    nodes += [
        node("AveragePool", [last], pool, kernel_shape=[network.pool_size] * 2),
        convolution_node(classifier, pool),
        node("Reshape", [f"{classifier.name}/BiasAdd", f"{reshape}/shape"], reshape),
        node("Softmax", [reshape], OUTPUT, axis=1),
    ]
    graph = {
        1: nodes, 2: "MobilenetV1", 5: constants,
        11: value_info(INPUT, [IMAGE_SIZE, IMAGE_SIZE, 3]), 12: value_info(OUTPUT, [CLASSES]),
    }  # fmt: skip
    return encoded({1: IR_VERSION, 2: "aibench-fast", 7: graph, 8: {1: "", 2: OPSET}})


def weights(convolution: Convolution) -> list[Fields]:
    """Return the convolution's constants in ONNX's order: output, input, height, width."""
    order = (2, 3, 0, 1) if convolution.depthwise else (3, 2, 0, 1)
    return [
        tensor(f"{convolution.name}/weights", convolution.weights.transpose(order)),
        tensor(f"{convolution.name}/biases", convolution.bias),
    ]


def convolution_node(convolution: Convolution, source: str) -> Fields:
    """Return a convolution with its bias, whose output is `<name>/BiasAdd`."""
    name = convolution.name
    before, after = convolution.padding
    return node(
        "Conv",
        [source, f"{name}/weights", f"{name}/biases"],
        f"{name}/BiasAdd",
        group=convolution.bias.size if convolution.depthwise else 1,
        kernel_shape=[convolution.kernel] * 2,
        pads=[before, before, after, after],
        strides=[convolution.stride] * 2,
    )


def node(operation: str, inputs: list[str], output: str, **attributes: int | list[int]) -> Fields:
    """Return a node of the graph, named as its output."""
    fields = [
        # Lists are not packed: onnx.proto has proto2 syntax.
        {1: name, 8: value, 20: ATTRIBUTE_INTS}
        if isinstance(value, list)
        else {1: name, 3: value, 20: ATTRIBUTE_INT}
        for name, value in attributes.items()
    ]
    return {1: inputs, 2: output, 3: output, 4: operation, 5: fields}


def tensor(name: str, values: npt.NDArray[np.generic]) -> Fields:
    """Return a constant of the graph, float32 or int64."""
    data_type = TENSOR_TYPES[values.dtype.str]
    return {1: packed(values.shape), 2: data_type, 8: name, 9: values.tobytes()}


def value_info(name: str, image_shape: Sequence[int]) -> Fields:
    """Return a ValueInfoProto: float32, the first dimension free."""
    sizes: list[Fields] = [{2: "batch"}, *({1: size} for size in image_shape)]
    return {1: name, 2: {1: {1: FLOAT_TYPE, 2: {1: sizes}}}}
