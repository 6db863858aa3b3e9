"""MobileNet as a TensorFlow Lite model (`.tflite`), written with the schema package `tflite`."""

from collections.abc import Sequence

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite
from tflite import ActivationFunctionType, BuiltinOperator, BuiltinOptions, Padding, TensorType

from aibench_fast.models.mobilenet import CLASSES, IMAGE_SIZE, INPUT, OUTPUT, Convolution, MobileNet

SCHEMA_VERSION = 3
FILE_IDENTIFIER = b"TFL3"
BUFFER_ALIGNMENT_BYTES = 16  # the schema's force_align, which the Python builder ignores
TENSOR_TYPES = {"<f4": TensorType.FLOAT32, "<i4": TensorType.INT32}


def tflite_model(network: MobileNet) -> bytes:
    """Return the network as a TensorFlow Lite FlatBuffer."""
    graph = GraphWriter()
    last = source = graph.computed(INPUT, [IMAGE_SIZE, IMAGE_SIZE, 3])
    for convolution in network.features:
        last = add_convolution(
            graph, convolution, last, f"{convolution.name}/Relu6", ActivationFunctionType.RELU6
        )

    pool = graph.computed(
        "MobilenetV1/Logits/AvgPool_1a/AvgPool", [1, 1, network.features[-1].bias.size]
    )
    graph.operator(
        BuiltinOperator.AVERAGE_POOL_2D,
        [last],
        pool,
        "Pool2DOptions",
        Padding=Padding.VALID,
        StrideW=1,
        StrideH=1,
        FilterWidth=network.pool_size,
        FilterHeight=network.pool_size,
    )
    classifier = network.classifier
    logits = add_convolution(
        graph, classifier, pool, f"{classifier.name}/BiasAdd", ActivationFunctionType.NONE
    )
    reshape = "MobilenetV1/Predictions/Reshape"
    shape = graph.constant(f"{reshape}/shape", np.array([-1, CLASSES], "<i4"))
    flat = graph.computed(reshape, [CLASSES])
    graph.operator(BuiltinOperator.RESHAPE, [logits, shape], flat, "ReshapeOptions")
    output = graph.computed(OUTPUT, [CLASSES])
    graph.operator(BuiltinOperator.SOFTMAX, [flat], output, "SoftmaxOptions", Beta=1.0)
    return graph.finish(source, output)


def add_convolution(
    graph: "GraphWriter", convolution: Convolution, source: int, name: str, activation: int
) -> int:
    """Add a convolution with its bias and activation; return the index of its output."""
    # Output, height, width, input; for a depthwise one: 1, height, width, channels.
    order = (3, 0, 1, 2)
    weights = graph.constant(f"{convolution.name}/weights", convolution.weights.transpose(order))
    biases = graph.constant(f"{convolution.name}/biases", convolution.bias)
    output_size = -(-convolution.input_size // convolution.stride)
    output = graph.computed(name, [output_size, output_size, convolution.bias.size])
    code, kind, options = BuiltinOperator.CONV_2D, "Conv2DOptions", {}
    if convolution.depthwise:
        code, kind = BuiltinOperator.DEPTHWISE_CONV_2D, "DepthwiseConv2DOptions"
        options = {"DepthMultiplier": 1}
    options |= {
        "Padding": Padding.SAME,
        "StrideW": convolution.stride,
        "StrideH": convolution.stride,
        "FusedActivationFunction": activation,
    }
    graph.operator(code, [source, weights, biases], output, kind, **options)
    return output


class GraphWriter:
    """A model under construction; tensors have an index, operators run in their order."""

    def __init__(self) -> None:
        """Start an empty model."""
        self._builder = flatbuffers.Builder(1 << 20)
        self._tensors: list[int] = []
        self._operators: list[int] = []
        self._codes: list[int] = []
        # The schema reserves the first buffer for tensors without values.
        self._buffers = [self._table("Buffer")]

    def computed(self, name: str, image_shape: Sequence[int]) -> int:
        """Add a float32 tensor that is computed, or the input; its batch dimension is free."""
        return self._tensor(name, TensorType.FLOAT32, [1, *image_shape], [-1, *image_shape], 0)

    def constant(self, name: str, values: npt.NDArray[np.generic]) -> int:
        """Add a tensor with fixed values, float32 or int32."""
        self._buffers.append(self._table("Buffer", Data=self._aligned_bytes(values.tobytes())))
        data_type = TENSOR_TYPES[values.dtype.str]
        return self._tensor(name, data_type, values.shape, values.shape, len(self._buffers) - 1)

    def operator(
        self, code: int, inputs: Sequence[int], output: int, options: str, **fields: float
    ) -> None:
        """Add an operator; `options` is its table in the schema, `fields` its content."""
        if code not in self._codes:
            self._codes.append(code)
        self._operators.append(
            self._table(
                "Operator",
                Inputs=self._integers(inputs),
                Outputs=self._integers([output]),
                BuiltinOptions=self._table(options, **fields),
                BuiltinOptionsType=getattr(BuiltinOptions, options),
                OpcodeIndex=self._codes.index(code),
            )
        )

    def finish(self, source: int, output: int) -> bytes:
        """Return the model with one input and one output."""
        builder = self._builder
        codes = [
            # Old readers read only the deprecated field.
            self._table("OperatorCode", DeprecatedBuiltinCode=code, BuiltinCode=code, Version=1)
            for code in self._codes
        ]
        subgraph = self._table(
            "SubGraph",
            Tensors=self._offsets(self._tensors),
            Inputs=self._integers([source]),
            Outputs=self._integers([output]),
            Operators=self._offsets(self._operators),
            Name=builder.CreateString("main"),
        )
        model = self._table(
            "Model",
            Version=SCHEMA_VERSION,
            OperatorCodes=self._offsets(codes),
            Subgraphs=self._offsets([subgraph]),
            Description=builder.CreateString("MobileNet V1 1.0 224"),
            Buffers=self._offsets(self._buffers),
        )
        builder.Finish(model, FILE_IDENTIFIER)
        return bytes(builder.Output())

    def _tensor(
        self, name: str, data_type: int, shape: Sequence[int], signature: Sequence[int], buffer: int
    ) -> int:
        self._tensors.append(
            self._table(
                "Tensor",
                Shape=self._integers(shape),
                ShapeSignature=self._integers(signature),
                Type=data_type,
                Buffer=buffer,
                Name=self._builder.CreateString(name),
            )
        )
        return len(self._tensors) - 1

    def _table(self, kind: str, **fields: float) -> int:
        """Build a table of the schema with the generated functions of that name."""
        getattr(tflite, f"{kind}Start")(self._builder)
        for field, value in fields.items():
            getattr(tflite, f"{kind}Add{field}")(self._builder, value)
        offset: int = getattr(tflite, f"{kind}End")(self._builder)
        return offset

    def _integers(self, values: Sequence[int]) -> int:
        offset: int = self._builder.CreateNumpyVector(np.array(values, "<i4"))
        return offset

    def _offsets(self, offsets: Sequence[int]) -> int:
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        vector: int = self._builder.EndVector()
        return vector

    def _aligned_bytes(self, data: bytes) -> int:
        builder = self._builder
        builder.StartVector(1, len(data), BUFFER_ALIGNMENT_BYTES)
        builder.head -= len(data)
        builder.Bytes[builder.head : builder.head + len(data)] = data
        vector: int = builder.EndVector()
        return vector
