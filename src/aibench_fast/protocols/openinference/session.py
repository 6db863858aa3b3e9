"""A run's dealings with a server of the Open Inference Protocol."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aibench_fast._core import HttpOutput, HttpPlan
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.client import HttpClient, Reply, json_of
from aibench_fast.protocols.openinference.datatypes import our_dtype, their_datatype
from aibench_fast.protocols.openinference.model import ask_model, model_path
from aibench_fast.protocols.openinference.statistics import EXTENSION, TritonReader
from aibench_fast.protocols.record import Output, ServerRecord
from aibench_fast.protocols.session import (
    AskedKind,
    Endpoint,
    NoStatistics,
    StatisticsWatch,
    native_tls,
)
from aibench_fast.protocols.statistics import ServerWatch
from aibench_fast.results.result import ServerFacts
from aibench_fast.tensortype import DTYPE_BYTES

BINARY_EXTENSIONS = ("binary_tensor_data", "binary_data")
JSON_LENGTH = "Inference-Header-Content-Length"
REQUEST_ID = "1"
"""One for all requests: KServe's server answers 500 without, and a reply that is always the same is
judged at once."""
TEXT_SPARE_BYTES = 4096
"""Headers, and what of a reply's JSON may differ from the trial's."""


@dataclass(frozen=True, kw_only=True)
class AskingHttp:
    """How requests are asked; see the options of `run`."""

    model_version: str | None = None
    outputs: Sequence[str] = ()
    """The outputs that are asked for; none: all of them."""


class OpenInferenceSession:
    """A `protocols.session.Session` with such a server."""

    def __init__(
        self, address: HttpAddress, asking: AskingHttp, kinds: Sequence[AskedKind]
    ) -> None:
        """Visit the server, and send one request of each kind on trial.

        ServerError, in the server's words, where one is refused; ConfigError where an output that
        is asked for is none of the model's.
        """
        self._address = address
        self._requests: list[list[bytes]] = []
        self._plans: list[HttpPlan] = []
        outputs = []
        with HttpClient(address) as client:
            told = client.ask_json("/v2", "the server")
            for kind in kinds:
                request, plan, output = _try(client, address, asking, kind)
                self._requests.append(request)
                self._plans.append(plan)
                outputs.append(output)
            peer = client.peer
        extensions = told.get("extensions") or []
        self._has_statistics = EXTENSION in extensions
        self._models = list(dict.fromkeys(kind.model for kind in kinds))
        self._version = asking.model_version
        self.record = ServerRecord(
            server=ServerFacts(
                kind=str(told.get("name", "unknown")),
                version=str(told.get("version", "unknown")),
                address=str(address),
            ),
            peer=peer,
            config={"extensions": ", ".join(map(str, extensions))} if extensions else None,
            model_digests=[None],
            outputs=outputs,
        )
        tls = native_tls(address.tls, address.host)
        self.endpoint = Endpoint(peer, address.port, None, None, tls)

    def label(self, model: str) -> str:
        """Names a model and how it is run."""
        return f"Open Inference Query - {model} :infer"

    def texts(self, kind: int, worker: int) -> list[bytes]:
        """The same for every worker."""
        del worker
        return self._requests[kind]

    def plan(self, kind: int) -> HttpPlan:
        """The trial's reply, with which others are compared."""
        return self._plans[kind]

    def watch(self) -> StatisticsWatch:
        """What reads the models' statistics, of a server that has them, as Triton does."""
        if not self._has_statistics:
            return NoStatistics()
        reader = TritonReader(self._address, self._models, self._version)
        return ServerWatch(reader, self._address.authority)

    def leave(self, patience_s: float) -> None:
        """Nothing was left."""
        del patience_s


def _try(
    client: HttpClient, address: HttpAddress, asking: AskingHttp, kind: AskedKind
) -> tuple[list[bytes], HttpPlan, Output]:
    metadata = ask_model(client, kind.model, asking.model_version)
    names = [one.name for one in metadata.outputs]
    for name in asking.outputs:
        if name not in names:
            raise ConfigError(
                f"--output {name}: the model {kind.model} has the outputs {', '.join(names)}"
            )
    wanted = list(asking.outputs or names)
    path = model_path(kind.model, asking.model_version) + "/infer"
    header = _request_json(kind, wanted)
    tensors = b"".join(one.trial for one in kind.inputs)
    reply = client.ask(
        path,
        header + tensors,
        {JSON_LENGTH: str(len(header)), "Content-Type": "application/octet-stream"},
    )
    document, text, binary_bytes = _reply_parts(address, path, reply)
    plan = _plan(document, text, binary_bytes, len(reply.body), kind.model)
    first = document["outputs"][0]
    dtype = our_dtype(str(first["datatype"]), f"output {first['name']}")
    return (
        _request_texts(address, path, header, len(tensors), len(kind.inputs)),
        plan,
        Output(dtype, sum(one.output_bytes for one in plan.outputs)),
    )


def _request_json(kind: AskedKind, outputs: Sequence[str]) -> bytes:
    """The JSON part of a request whose tensors follow in binary."""
    document = {
        "id": REQUEST_ID,
        "inputs": [
            {
                "name": one.name,
                "shape": list(one.shape),
                "datatype": their_datatype(one.dtype),
                "parameters": {"binary_data_size": len(one.trial)},
            }
            for one in kind.inputs
        ],
        "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in outputs],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _request_texts(
    address: HttpAddress, path: str, header: bytes, tensors_bytes: int, inputs: int
) -> list[bytes]:
    """What goes before, between and after the tensors, which follow each other."""
    headers = {
        "Host": address.authority,
        "Content-Type": "application/octet-stream",
        JSON_LENGTH: str(len(header)),
        "Content-Length": str(len(header) + tensors_bytes),
        **dict(address.headers),
    }
    lines = [f"POST {address.path}{path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    before = "\r\n".join(lines).encode() + b"\r\n\r\n" + header
    return [before, *([b""] * inputs)]


def _reply_parts(
    address: HttpAddress, path: str, reply: Reply
) -> tuple[dict[str, Any], bytes, int]:
    """The trial reply's JSON, parsed and as it came, and how many bytes follow it.

    The text is empty where all of the reply is JSON.
    """
    told = reply.headers.get(JSON_LENGTH.lower())
    if told is None:
        return json_of(address, path, reply, "the trial request"), b"", 0
    if not told.isdecimal() or int(told) > len(reply.body):
        raise ServerError(
            f"{address}{path} answered the trial request with {JSON_LENGTH} {told}, and a body of "
            f"{len(reply.body)} bytes"
        )
    text = reply.body[: int(told)]
    document = json_of(address, path, reply._replace(body=text), "the trial request")
    return document, text, len(reply.body) - len(text)


def _plan(
    document: Mapping[str, Any], text: bytes, binary_bytes: int, reply_bytes: int, model: str
) -> HttpPlan:
    try:
        outputs = [_output(one, is_binary=bool(text)) for one in document["outputs"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ServerError(
            f"the reply to the trial request of the model {model} is not as the protocol has it: "
            f"{error!r}"
        ) from error
    total = sum(one.output_bytes for one in outputs)
    if not outputs or (text and total != binary_bytes):
        raise ServerError(
            f"the trial request of the model {model} was answered with {len(outputs)} outputs of "
            f"{total} bytes, and {binary_bytes} bytes came"
        )
    beside = len(text) if text else 2 * reply_bytes  # numbers are of different lengths
    return HttpPlan(text, outputs, beside + TEXT_SPARE_BYTES)


def _output(told: Mapping[str, Any], *, is_binary: bool) -> HttpOutput:
    shape = [int(length) for length in told["shape"]]
    name, datatype = str(told["name"]), str(told["datatype"])
    size_bytes = math.prod(shape) * DTYPE_BYTES[our_dtype(datatype, f"output {name}")]
    return HttpOutput(name, datatype, shape, size_bytes if is_binary else 0)
