"""Against Triton, KServe's server and MLServer: the answers another client gets, bit for bit."""

import dataclasses
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import modelservers
import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc as grpcclient
import tritonclient.http as tritonclient
from commandline import Cli
from echomodels import (
    MODELS,
    NUMPY_TYPES,
    TRITON_MODELS,
    VALUES,
    Models,
    drawn,
    in_memory,
    outputs_of,
)
from modelservers import Urls

from aibench_fast import Result, RunConfig, ServerError, _core, run
from aibench_fast.load.kinds import InputTensor, RequestKind
from aibench_fast.protocols.settings import Encoding
from aibench_fast.tensortype import canonical, joined_strings

Arrays = list["npt.NDArray[np.generic]"]
WAYS = ("binary", "json", "grpc")
"""How tensors go to a server: over HTTP in either encoding, or over gRPC."""


class Served:
    """A server that runs, its models and what is known of it."""

    def __init__(self, name: str, urls: Urls, models: Models) -> None:
        self.name = name
        self.url, self.grpc_url = urls
        self.models = models

    def settings(self, way: str) -> dict[str, Any]:
        """The settings of a run that goes this way."""
        if way == "grpc":
            return {"url": self.grpc_url}
        return {"url": self.url, "encoding": Encoding(way)}

    def refuses(self, way: str) -> bool:
        """Whether it takes no such tensors."""
        return (self.name, way) == ("mlserver", "binary")

    def ask(self, model: str, arrays: Arrays, way: str) -> list[bytes]:
        """Return the answer to another client, the bytes of each output."""
        datatypes = self.models[model]
        if way == "grpc":
            return _by_tritonclient_over_grpc(self.grpc_url, model, datatypes, arrays)
        is_plain = way == "json" and self.name != "triton"
        ask = _by_hand if is_plain else _by_tritonclient
        return ask(self.url, model, datatypes, arrays, Encoding(way))


def _by_tritonclient_over_grpc(
    url: str, model: str, datatypes: tuple[str, ...], arrays: Arrays
) -> list[bytes]:
    with grpcclient.InferenceServerClient(url.removeprefix("grpc://")) as client:
        inputs = []
        for place, (datatype, array) in enumerate(zip(datatypes, arrays, strict=True)):
            inputs.append(grpcclient.InferInput(f"x{place}", array.shape, datatype))
            inputs[-1].set_data_from_numpy(array)
        names = [str(one["name"]) for one in outputs_of(datatypes)]
        outputs = [grpcclient.InferRequestedOutput(name) for name in names]
        answer = client.infer(model, inputs, outputs=outputs, request_id="1")
        return [in_memory(answer.as_numpy(name)) for name in names]


def _by_tritonclient(
    url: str, model: str, datatypes: tuple[str, ...], arrays: Arrays, encoding: Encoding
) -> list[bytes]:
    client = tritonclient.InferenceServerClient(url.removeprefix("http://"))
    is_binary = encoding is Encoding.BINARY
    inputs = []
    for place, (datatype, array) in enumerate(zip(datatypes, arrays, strict=True)):
        inputs.append(tritonclient.InferInput(f"x{place}", array.shape, datatype))
        inputs[-1].set_data_from_numpy(array, binary_data=is_binary)
    names = [str(one["name"]) for one in outputs_of(datatypes)]
    outputs = [tritonclient.InferRequestedOutput(name, binary_data=is_binary) for name in names]
    answer = client.infer(model, inputs, outputs=outputs, request_id="1")
    client.close()
    return [in_memory(answer.as_numpy(name)) for name in names]


def _by_hand(
    url: str, model: str, datatypes: tuple[str, ...], arrays: Arrays, encoding: Encoding
) -> list[bytes]:
    """JSON alone, as any client has it."""
    inputs = [
        {"name": f"x{place}", "shape": array.shape, "datatype": datatype, "data": plain(array)}
        for place, (datatype, array) in enumerate(zip(datatypes, arrays, strict=True))
    ]
    request = urllib.request.Request(
        f"{url}/v2/models/{model}/infer",
        json.dumps({"id": "1", "inputs": inputs}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        outputs = json.load(answer)["outputs"]
    return [
        joined_strings(word.encode() for word in np.ravel(one["data"]).tolist())
        if one["datatype"] == "BYTES"
        else np.array(one["data"], NUMPY_TYPES[one["datatype"]]).tobytes()
        for one in outputs
    ]


def plain(array: "npt.NDArray[np.generic]") -> Any:
    """As JSON has it."""
    if array.dtype != object:
        return array.tolist()
    return [[word.decode() for word in row] for row in array]


@pytest.fixture(scope="module", params=["triton", "kserve", "mlserver"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    models = TRITON_MODELS if request.param == "triton" else MODELS
    with getattr(modelservers, request.param)(tmp_path_factory.mktemp(request.param)) as urls:
        yield Served(request.param, urls, models)


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The whole outputs that runs take samples of."""
    found: list[bytes] = []

    class Recording(_core.LoadGenerator):
        def start(self, at_ns: int = 0) -> None:
            self.want_sample()  # of the first request, however soon the run is over
            super().start(at_ns)

        def take_sample(self) -> tuple[int, int, bytes] | None:
            sample = super().take_sample()
            found.extend([sample[2]] if sample else [])
            return sample

    monkeypatch.setattr(_core, "LoadGenerator", Recording)
    return found


def sent(served: Served, model: str, arrays: Arrays, folder: Path, **settings: Any) -> Result:
    """Run with these tensors alone, from files."""
    inputs = []
    for place, (datatype, array) in enumerate(zip(served.models[model], arrays, strict=True)):
        file = folder / f"{model}-{place}"
        if datatype == "BYTES":
            file = file.with_suffix(".jsonl")
            file.write_text("\n".join(map(json.dumps, plain(array))))
        else:
            file.write_bytes(array.tobytes())
        inputs.append(InputTensor(file, (VALUES,), canonical(datatype), f"x{place}"))
    rows = len(arrays[0])
    usual: dict[str, Any] = {"batch_size": rows, "max_queries": 4 * rows, "workers": 2}
    return run(RunConfig(file=None, model=model, inputs=tuple(inputs), **usual | settings))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rows", [1, 8])
def test_outputs_are_bit_for_bit_what_another_client_gets(
    served: Served, outputs: list[bytes], tmp_path: Path, way: str, rows: int
) -> None:
    settings = served.settings(way)
    if served.refuses(way):
        with pytest.raises(ServerError, match="answered HTTP 500 for the trial request"):
            sent(served, "fp32", [drawn("FP32", rows, 0)], tmp_path, **settings)
        return
    for model, datatypes in served.models.items():
        if way == "json" and model in ("halves", "fp16"):
            continue
        arrays = [drawn(datatype, rows, seed) for seed, datatype in enumerate(datatypes)]
        result = sent(served, model, arrays, tmp_path, **settings)
        assert (result.successes, result.failures) == (4, {}), model
        assert result.facts.get("Encoding") == (None if way == "grpc" else way)
        for place, expected in enumerate(served.ask(model, arrays, way)):
            outputs.clear()
            # A sample is of the first output.
            name = str(outputs_of(datatypes)[place]["name"])
            result = sent(served, model, arrays, tmp_path, outputs=(name,), **settings)
            assert (result.successes, result.failures) == (4, {}), (model, name)
            assert outputs, (model, name)
            assert set(outputs) == {expected}, (model, name)
            # What came back is what was sent, over HTTP and gRPC alike. But Triton reads a double
            # in JSON to the last bit but one.
            if (served.name, way) != ("triton", "json"):
                assert expected == in_memory(arrays[place]), (model, name)


def test_the_encoding_is_found_out(served: Served, cli: Cli, tmp_path: Path) -> None:
    """KServe's server announces no binary tensors and takes them; MLServer refuses them."""
    done = cli(
        "run", "--url", served.url, "--model", "fp32", "--max-queries", 40, "--batch-size", 8,
        "--json-out-file", "r.json", "--print-responses", code=0,
    )  # fmt: skip
    facts = json.loads((tmp_path / "r.json").read_text())["Facts"]
    said = "fp32: 40 tensors are formatted as JSON, in about "
    if served.name == "mlserver":
        assert facts["Encoding"] == "json"
        assert "answered HTTP 500 for the trial request" in facts["BinaryRefused"]
        assert said in done.stderr
        assert "Encoding: JSON, 40 tensors formatted before the run, " in done.stdout
    else:
        assert facts["Encoding"] == "binary"
        assert said not in done.stderr
    # Echoed floats, not the text of some: the best of six in [0, 1).
    assert "reply to tensor " in done.stderr
    assert ": classes " in done.stderr


@pytest.mark.parametrize("way", ["json", "grpc"])
def test_every_output_is_compared(served: Served, tmp_path: Path, way: str) -> None:
    rows = drawn("FP32", 20, 1)
    (tmp_path / "in").write_bytes(rows.tobytes())
    config = RunConfig(
        file=tmp_path / "in", model="fp32", batch_size=8, tolerance=0.0,
        reference_file=tmp_path / "in", max_queries=80, **served.settings(way),
    )  # fmt: skip
    result = run(config)
    assert (result.successes, result.failures) == (10, {})
    wrong = rows.copy()
    wrong[3, 5] += 1
    (tmp_path / "wrong").write_bytes(wrong.tobytes())
    failed = run(dataclasses.replace(config, reference_file=tmp_path / "wrong")).failures
    assert list(failed) == ["wrong_output"]
    assert failed["wrong_output"].first_message.startswith("tensor 3, value 5: ")


@pytest.mark.parametrize(
    ("way", "more"), [("http", {}), ("json", {}), ("grpc", {}), ("grpc", {"pipeline": 4})]
)
def test_a_mix_of_one_and_several_inputs(served: Served, way: str, more: dict[str, int]) -> None:
    settings = {"url": served.url} if way == "http" else served.settings(way)
    several = tuple(
        InputTensor(None, (VALUES,), canonical(datatype), f"x{place}")
        for place, datatype in enumerate(served.models["several"])
    )
    kinds = (
        RequestKind("fp32", (InputTensor(None, (VALUES,), "FLOAT"),), weight=2),
        RequestKind("several", several, batch_size=3),
    )
    result = run(RunConfig(file=None, mix=kinds, max_queries=60, workers=3, **settings | more))
    assert (result.successes, result.failures) == (60, {})
    assert all(kind.successes for kind in result.kinds)


@pytest.mark.parametrize("way", ["json", "grpc"])
def test_a_model_that_is_not_there_is_one_line(served: Served, cli: Cli, way: str) -> None:
    words = ("--encoding", "json") if way == "json" else ()
    done = cli("run", "--url", served.settings(way)["url"], "--model", "other", *words)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    assert "for the model other: " in done.stderr
    if (served.name, way) == ("kserve", "grpc"):  # it cannot list them there
        assert "if it answers requests all the same, give --input" in done.stderr
        return
    names = sorted([*served.models, *(["mobilenet", "null"] if served.name == "triton" else [])])
    more = [f"and {len(names) - 10} more"] if len(names) > 10 else []
    assert done.stderr.endswith(f"; there are {', '.join(names[:10] + more)}\n")


@pytest.mark.parametrize("way", ["json", "grpc"])
def test_a_server_counted_what_was_sent_or_nothing_is_told(served: Served, way: str) -> None:
    settings = served.settings(way)
    if (served.name, way) == ("kserve", "grpc"):
        settings["metrics_url"] = f"{served.url}/metrics"
    result = run(RunConfig(file=None, model="fp32", max_queries=20, **settings))
    counted = result.server.periods["overall"]
    # By Triton's own statistics, by KServe's metrics; MLServer is started without any.
    assert counted.get("model_calls") == {"triton": 20, "kserve": 20}.get(served.name)


@pytest.mark.parametrize("encoding", list(Encoding))
def test_a_server_that_goes_away_is_told(tmp_path: Path, encoding: Encoding) -> None:
    with modelservers.kserve(tmp_path) as urls:
        config = RunConfig(
            file=None, url=urls.http, model="fp32", duration_s=60, workers=2, encoding=encoding,
            reconnect_for_s=0.2,
        )  # fmt: skip
        stopped = threading.Thread(target=run_into, args=(config, found := []))
        stopped.start()
        time.sleep(0.5)
    stopped.join(20)
    (result,) = found
    assert result.successes > 0
    assert set(result.failures) <= {"connection_lost", "connect", "unavailable"}
    assert result.failures["connect"].count == 2


def run_into(config: RunConfig, found: list[Result]) -> None:
    found.append(run(config))


def test_over_grpc_a_server_that_goes_away_is_told(tmp_path: Path) -> None:
    with modelservers.mlserver(tmp_path) as urls:
        config = RunConfig(
            file=None, url=urls.grpc, model="fp32", duration_s=60, workers=2, pipeline=2,
            reconnect_for_s=0.2,
        )  # fmt: skip
        stopped = threading.Thread(target=run_into, args=(config, found := []))
        stopped.start()
        time.sleep(1)
    stopped.join(20)
    (result,) = found
    assert result.successes > 0
    assert set(result.failures) <= {"connection_lost", "connect", "unavailable", "cancelled"}
    assert result.failures["connect"].count >= 1


@pytest.mark.parametrize(
    ("name", "rows", "option"),
    [
        ("mlserver", 200_000, "grpc_max_message_length"),
        ("kserve", 400_000, "grpc_max_receive_message_length"),
    ],
)
def test_a_message_larger_than_the_server_takes_names_its_option(
    cli: Cli, tmp_path: Path, name: str, rows: int, option: str
) -> None:
    with getattr(modelservers, name)(tmp_path, message_bytes=None) as urls:
        done = cli("run", "--url", urls.grpc, "--model", "fp32", "--batch-size", rows)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr
    assert "RESOURCE_EXHAUSTED" in done.stderr
    assert option in done.stderr


def test_the_port_of_the_other_protocol_and_tls_to_a_plain_one_are_named(
    served: Served, cli: Cli
) -> None:
    http, grpc = (url.partition("://")[2] for url in (served.url, served.grpc_url))
    for url, told in {
        f"grpc://{http}": f"speaks HTTP/1.1: give the port of gRPC, or write http://{http}",
        f"http://{grpc}": f"speaks gRPC: give the port of HTTP, or write grpc://{grpc}",
        f"grpcs://{grpc}": f"no TLS with grpcs://{grpc}: the server does not speak TLS",
        f"https://{grpc}": f"no TLS with https://{grpc}: the server does not speak TLS",
    }.items():
        done = cli("run", "--url", url, "--model", "fp32")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr
        assert told in done.stderr


@pytest.mark.parametrize("more", [(), ("--input", f"x0:FP32:{VALUES}")])
def test_a_version_that_is_not_there_is_one_line(
    served: Served, cli: Cli, more: tuple[str, ...]
) -> None:
    words = ("--url", served.grpc_url, "--model", "fp32", "--model-version", "9", *more)
    done = cli("run", *words, "--max-queries", 5, "--quiet")
    if served.name == "kserve":  # its models have no versions: it answers for any
        assert (done.returncode, done.stderr) == (0, "")
        return
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr
    assert "answered NOT_FOUND for the model fp32" in done.stderr
