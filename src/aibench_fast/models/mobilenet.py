"""MobileNet V1 1.0 for 224 x 224 images, declared once for the writers of every format.

The architecture is that of table 1 of Howard et al., "MobileNets: Efficient Convolutional Neural
Networks for Mobile Vision Applications" (2017), with batch normalization folded into weights and
biases, as in a model exported for inference. The weights are drawn from a seed: they cost what
trained ones cost, and classify nothing.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

IMAGE_SIZE = 224
INPUT = "input"
OUTPUT = "MobilenetV1/Predictions/Reshape_1"
CLASSES = 1001  # ImageNet's thousand and "background"
SEED = 12345
DRAW_LIMIT = 1 << 15
# Compensates for the mean over rows and columns: the softmax stays far from uniform.
CLASSIFIER_GAIN = 5.0

# Stride and output channels of the thirteen separable convolutions.
SEPARABLE = [
    (1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *[(1, 512)] * 5, (2, 1024), (1, 1024)
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Convolution:
    """A 2-D convolution with a bias, its input padded as TensorFlow's SAME does.

    `weights` is [height, width, input channels, output channels], or for a depthwise convolution
    [height, width, channels, 1]. `name` is the folder of its nodes in the graph.
    """

    name: str
    depthwise: bool
    input_size: int
    stride: int
    weights: Floats
    bias: Floats

    @property
    def kernel(self) -> int:
        """Return height and width of the filter."""
        return int(self.weights.shape[0])

    @property
    def padding(self) -> tuple[int, int]:
        """Return the rows or columns of zeros before and after the input, an odd one after."""
        output_size = -(-self.input_size // self.stride)
        total = max((output_size - 1) * self.stride + self.kernel - self.input_size, 0)
        return total // 2, total - total // 2


@dataclass(frozen=True, eq=False)
class MobileNet:
    """The network: `features`, each followed by RELU6; a mean over rows and columns; `classifier`.

    The input is [batch, 224, 224, 3] float32 named INPUT; the output, a softmax over the
    classifier's channels, is [batch, 1001] float32 named OUTPUT.
    """

    features: list[Convolution]
    classifier: Convolution

    @property
    def pool_size(self) -> int:
        """Return height and width of the area of the mean."""
        last = self.features[-1]
        return -(-last.input_size // last.stride)


def mobilenet_v1() -> MobileNet:
    """Return MobileNet V1 with weights drawn from SEED, the same on every machine."""
    random = np.random.RandomState(SEED)  # legacy, so that its stream never changes
    size = IMAGE_SIZE
    channels = 3
    features: list[Convolution] = []

    def add(name: str, shape: tuple[int, int, int, int], stride: int) -> None:
        nonlocal size, channels
        name = f"MobilenetV1/MobilenetV1/{name}"
        features.append(convolution(random, name, shape, size, stride))
        size = -(-size // stride)
        channels = features[-1].bias.size

    add("Conv2d_0", (3, 3, 3, 32), 2)
    for number, (stride, output_channels) in enumerate(SEPARABLE, start=1):
        add(f"Conv2d_{number}_depthwise", (3, 3, channels, 1), stride)
        add(f"Conv2d_{number}_pointwise", (1, 1, channels, output_channels), 1)
    classifier = convolution(
        random,
        "MobilenetV1/Logits/Conv2d_1c_1x1",
        (1, 1, channels, CLASSES),
        input_size=1,
        stride=1,
        gain=CLASSIFIER_GAIN,
    )
    return MobileNet(features, classifier)


def convolution(
    random: np.random.RandomState,
    name: str,
    shape: tuple[int, int, int, int],
    input_size: int,
    stride: int,
    gain: float = 1.0,
) -> Convolution:
    """Draw a convolution whose output, after RELU6, has about `gain` times the scale of its input.

    The weights are uniform within sqrt(6 / fan-in): He et al., "Delving Deep into Rectifiers"
    (2015). Those of a filter over several channels sum to zero, and are larger by what that costs:
    a rectified normal variable's mean is 1 / pi of its mean square. Without this, what all images
    have in common outgrows their differences, layer by layer.
    """
    depthwise = shape[3] == 1
    fan_in = shape[0] * shape[1] * (1 if depthwise else shape[2])
    # Integers, whose sums are exact in any order, and then one rounding: the same bytes everywhere.
    draws = random.randint(-DRAW_LIMIT, DRAW_LIMIT + 1, shape).astype(np.int64) * fan_in
    limit = gain * math.sqrt(6 / fan_in)
    if not depthwise:
        draws -= draws.sum(axis=(0, 1, 2), keepdims=True) // fan_in
        limit *= math.sqrt(math.pi / (math.pi - 1))
    weights = draws * (limit / (DRAW_LIMIT * fan_in))
    bias = np.zeros(shape[2] if depthwise else shape[3], np.float32)
    return Convolution(name, depthwise, input_size, stride, weights.astype(np.float32), bias)
