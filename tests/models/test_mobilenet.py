"""The built-in model: three files of one network, the same on every machine."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import openvino
import pytest
import tflite
from PIL import Image

from aibench_fast.cli import main
from aibench_fast.errors import ConfigError
from aibench_fast.models import ModelFormat, built_in_model
from aibench_fast.models.mobilenet import INPUT, OUTPUT, mobilenet_v1
from aibench_fast.tensors.photographs import SAMPLE_FOLDER

Floats = npt.NDArray[np.float32]

# What every machine must write. They change with the architecture or the weights alone, and then
# figures measured before are not comparable by verified outputs.
SHA256 = {
    ModelFormat.PB: "abc0e995f6a8f117f4daa5f516c24f6667c4b218a45a18f67bd6bdcd4d33d96d",
    ModelFormat.ONNX: "cc23760495b91190aee971c09966ec53793631b09d8a0ee237f04037563acc8e",
    ModelFormat.TFLITE: "2322412022a372a148ad526e982e7094092acf12cd7ef098bd16a1460d363491",
}


@pytest.fixture(scope="module")
def photographs() -> Floats:
    """Three photographs as the model takes them: [3, 224, 224, 3], values from 0 to 1."""
    pictures = [
        Image.open(SAMPLE_FOLDER / name).convert("RGB").resize((224, 224), Image.Resampling.BOX)
        for name in ("astronaut.png", "coffee.png", "rocket.jpg")
    ]
    return np.stack([np.asarray(picture, np.float32) / 255 for picture in pictures])


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[ModelFormat, openvino.CompiledModel]:
    folder = tmp_path_factory.mktemp("models")
    core = openvino.Core()
    models = {}
    for model_format in ModelFormat:
        file = folder / f"model.{model_format}"
        file.write_bytes(built_in_model(model_format))
        models[model_format] = core.compile_model(
            core.read_model(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
    return models


def infer(model: openvino.CompiledModel, images: Floats) -> Floats:
    # By position: the TensorFlow reader names the tensors input:0 and so on.
    result: Floats = model(images)[0]
    return result


@pytest.mark.parametrize("model_format", ModelFormat)
def test_the_same_bytes_on_every_machine(model_format: ModelFormat) -> None:
    assert hashlib.sha256(built_in_model(model_format)).hexdigest() == SHA256[model_format]


@pytest.mark.parametrize("batch", [1, 3])
def test_the_formats_agree(
    compiled: dict[ModelFormat, openvino.CompiledModel], photographs: Floats, batch: int
) -> None:
    images = photographs[:batch]
    expected = infer(compiled[ModelFormat.PB], images)
    assert expected.shape == (batch, 1001)
    for model_format in ModelFormat:
        output = infer(compiled[model_format], images)
        np.testing.assert_allclose(output, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("model_format", ModelFormat)
def test_each_image_has_an_output_of_its_own(
    compiled: dict[ModelFormat, openvino.CompiledModel],
    photographs: Floats,
    model_format: ModelFormat,
) -> None:
    outputs = infer(compiled[model_format], photographs)
    # A softmax that is neither uniform (1 / 1001 each) nor decided, or outputs could not be told
    # apart within a tolerance.
    np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-4)
    assert (outputs.max(axis=1) > 0.01).all()
    assert (outputs.max(axis=1) < 0.9).all()
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(outputs[first] - outputs[second]).max() > 0.02
    # A row of a batch is what the image alone gives.
    alone = infer(compiled[model_format], photographs[1:2])
    np.testing.assert_allclose(alone[0], outputs[1], rtol=0, atol=1e-4)


def test_an_output_hardly_moves_with_the_input(
    compiled: dict[ModelFormat, openvino.CompiledModel], photographs: Floats
) -> None:
    # Engines round differently: weights that amplify rounding would make their outputs differ.
    moved = (photographs * (1 + 1e-5)).astype(np.float32)
    model = compiled[ModelFormat.PB]
    assert np.abs(infer(model, moved) - infer(model, photographs)).max() < 1e-3


def test_the_cost_is_that_of_mobilenet_v1() -> None:
    """4.2 million parameters and 569 million multiply-adds, as the paper's table 8 says."""
    network = mobilenet_v1()
    layers = [*network.features, network.classifier]
    parameters = sum(layer.weights.size + layer.bias.size for layer in layers)
    multiply_adds = sum(
        layer.weights.size * (-(-layer.input_size // layer.stride)) ** 2 for layer in layers
    )
    assert round(parameters / 1e6, 1) == 4.2
    assert round(multiply_adds / 1e6) == 569


def test_onnx_accepts_its_model() -> None:
    model = onnx.load_model_from_string(built_in_model(ModelFormat.ONNX))
    onnx.checker.check_model(model, full_check=True)
    assert [entry.name for entry in model.graph.input] == [INPUT]
    assert [entry.name for entry in model.graph.output] == [OUTPUT]
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [dimension.dim_value or dimension.dim_param for dimension in shape] == [
        "batch",
        224,
        224,
        3,
    ]


def test_tflite_model_is_as_its_readers_expect() -> None:
    content = built_in_model(ModelFormat.TFLITE)
    assert tflite.Model.ModelBufferHasIdentifier(content, 0)
    model = tflite.Model.GetRootAs(content)
    graph = model.Subgraphs(0)
    source, output = graph.Tensors(graph.Inputs(0)), graph.Tensors(graph.Outputs(0))
    assert (source.Name(), output.Name()) == (INPUT.encode(), OUTPUT.encode())
    assert source.ShapeSignatureAsNumpy().tolist() == [-1, 224, 224, 3]
    # The kernels read weights in place with aligned loads.
    start = np.frombuffer(content, np.uint8).ctypes.data
    for index in range(1, model.BuffersLength()):
        values = model.Buffers(index).DataAsNumpy()
        assert (values.ctypes.data - start) % 16 == 0


@pytest.mark.parametrize("model_format", ModelFormat)
def test_model_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model_format: ModelFormat
) -> None:
    file = tmp_path / "new" / "model"
    assert main(["model", "write", "--format", model_format, "--out", str(file)]) == 0
    assert file.read_bytes() == built_in_model(model_format)
    size = f"{file.stat().st_size:,}"
    expected = f"wrote {file}: {size} bytes, SHA-256 {SHA256[model_format]}\n"
    assert capsys.readouterr().out == expected


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tflite", None)
    monkeypatch.delitem(sys.modules, "aibench_fast.models.tflite_model", raising=False)
    with pytest.raises(ConfigError, match=r"'tflite'.*pip install"):
        built_in_model(ModelFormat.TFLITE)
