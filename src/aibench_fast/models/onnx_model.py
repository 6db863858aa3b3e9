"""MobileNet as an ONNX model, written without the onnx package.

Field numbers are those of onnx.proto. Opset 11 is what the ONNX Runtime of the oldest RedisAI
reads, and has every operator used here.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aibench_fast.models.mobilenet import CLASSES, IMAGE_SIZE, INPUT, OUTPUT, Convolution, MobileNet
from aibench_fast.models.protobuf import integer, integers, message, text

IR_VERSION = 6
OPSET = 11
TENSOR_TYPES = {"<f4": 1, "<i8": 7}
FLOAT_TYPE = TENSOR_TYPES["<f4"]
ATTRIBUTE_INT = 2
ATTRIBUTE_INTS = 7


def onnx_model(network: MobileNet) -> bytes:
    """Return the network as a serialized ModelProto."""
    transposed = f"{INPUT}/nchw"
    nodes = [node("Transpose", [INPUT], transposed, integer_list("perm", [0, 3, 1, 2]))]
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
        node("AveragePool", [last], pool, integer_list("kernel_shape", [network.pool_size] * 2)),
        convolution_node(classifier, pool),
        node("Reshape", [f"{classifier.name}/BiasAdd", f"{reshape}/shape"], reshape),
        node("Softmax", [reshape], OUTPUT, integer_attribute("axis", 1)),
    ]
    graph = [
        *nodes,
        text(2, "MobilenetV1"),
        *constants,
        message(11, value_info(INPUT, [IMAGE_SIZE, IMAGE_SIZE, 3])),
        message(12, value_info(OUTPUT, [CLASSES])),
    ]
    return b"".join(
        [
            integer(1, IR_VERSION),
            text(2, "aibench-fast"),
            message(7, *graph),
            message(8, text(1, ""), integer(2, OPSET)),
        ]
    )


def weights(convolution: Convolution) -> list[bytes]:
    """Return the convolution's constants in ONNX's order: output, input, height, width."""
    order = (2, 3, 0, 1) if convolution.depthwise else (3, 2, 0, 1)
    return [
        tensor(f"{convolution.name}/weights", convolution.weights.transpose(order)),
        tensor(f"{convolution.name}/biases", convolution.bias),
    ]


def convolution_node(convolution: Convolution, source: str) -> bytes:
    """Encode a convolution with its bias, whose output is `<name>/BiasAdd`."""
    name = convolution.name
    before, after = convolution.padding
    return node(
        "Conv",
        [source, f"{name}/weights", f"{name}/biases"],
        f"{name}/BiasAdd",
        integer_attribute("group", convolution.bias.size if convolution.depthwise else 1),
        integer_list("kernel_shape", [convolution.kernel] * 2),
        integer_list("pads", [before, before, after, after]),
        integer_list("strides", [convolution.stride] * 2),
    )


def node(operation: str, inputs: Sequence[str], output: str, *attributes: bytes) -> bytes:
    """Encode a node of the graph, named as its output."""
    sources = [text(1, source) for source in inputs]
    return message(1, *sources, text(2, output), text(3, output), text(4, operation), *attributes)


def integer_attribute(name: str, value: int) -> bytes:
    """Encode a node's attribute with one integer."""
    return message(5, text(1, name), integer(3, value), integer(20, ATTRIBUTE_INT))


def integer_list(name: str, values: Sequence[int]) -> bytes:
    """Encode a node's attribute with a list of integers."""
    # Not packed: onnx.proto has proto2 syntax.
    items = [integer(8, value) for value in values]
    return message(5, text(1, name), *items, integer(20, ATTRIBUTE_INTS))


def tensor(name: str, values: npt.NDArray[np.generic]) -> bytes:
    """Encode a constant of the graph, float32 or int64."""
    return message(
        5,
        integers(1, values.shape),
        integer(2, TENSOR_TYPES[values.dtype.str]),
        text(8, name),
        message(9, values.tobytes()),
    )


def value_info(name: str, image_shape: Sequence[int]) -> bytes:
    """Encode the fields of a ValueInfoProto: float32, the first dimension free."""
    sizes = [message(1, text(2, "batch")), *(message(1, integer(1, n)) for n in image_shape)]
    return text(1, name) + message(2, message(1, integer(1, FLOAT_TYPE), message(2, *sizes)))
