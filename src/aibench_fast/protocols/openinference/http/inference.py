"""The Open Inference Protocol's questions and trials over HTTP."""

import http
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from aibench_fast._core import LLHTTP_VERSION
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.openinference.client import (
    A_REGION,
    MAX_TRIAL_BYTES,
    Client,
    Refusal,
    Refused,
    Trial,
    Wanted,
)
from aibench_fast.protocols.openinference.http.client import HttpClient, json_of, parsed, refusal
from aibench_fast.protocols.openinference.http.infer import (
    InferRequest,
    SharedInferRequest,
    plan_of,
)
from aibench_fast.protocols.openinference.oiptensors import following_protocol
from aibench_fast.protocols.settings import Encoding

_REGIONS = "/v2/systemsharedmemory"
BINARY_EXTENSIONS = ("binary_tensor_data", "binary_data")


class HttpInference(HttpClient, Client):
    """A `Client` over HTTP."""

    infers = "infer"

    def metadata(self) -> Mapping[str, Any]:
        """As `Client.metadata`."""
        return self.ask_json("/v2", "the server")

    def model(self, model: str, version: str | None) -> Mapping[str, Any]:
        """As `Client.model`."""
        return self.ask_json(_path(model, version), f"the model {model}")

    def check_ready(self, model: str, version: str | None) -> None:
        """As `Client.check_ready`."""
        path = f"{_path(model, version)}/ready"
        status = self.ask(path).status
        if status != http.HTTPStatus.OK and refusal(status) is not Refusal.NO_SUCH_CALL:
            raise ServerError(f"the model {model} is not ready: HTTP {status} from {path}")

    def ready_models(self) -> list[str] | None:
        """As `Client.ready_models`.

        Triton and MLServer list them by the protocol's extension for model repositories, KServe's
        server in a list of its own.
        """
        content = {"Content-Type": "application/json"}
        try:
            index = self.ask("/v2/repository/index", b"{}", content)
            if index.status == http.HTTPStatus.OK:
                names = [one["name"] for one in parsed(index.body) if one.get("state") == "READY"]
            else:
                names = self.ask_json("/v2/models", "its models")["models"]
            return sorted({str(name) for name in names})
        except (ServerError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def statistics(self, model: str, version: str | None) -> Mapping[str, Any]:
        """As `Client.statistics`."""
        return self.ask_json(f"{_path(model, version)}/stats", "statistics")

    def regions(self) -> list[str]:
        """As `Client.regions`."""
        path = f"{_REGIONS}/status"
        with following_protocol(f"what {path} answers"):
            return [str(one["name"]) for one in parsed(self._answer(path))]

    def register_region(self, name: str, key: str, size_bytes: int) -> None:
        """As `Client.register_region`."""
        described = {"key": key, "offset": 0, "byte_size": size_bytes}
        self._answer(f"{_REGIONS}/region/{name}/register", json.dumps(described).encode())

    def unregister_region(self, name: str) -> None:
        """As `Client.unregister_region`."""
        self._answer(f"{_REGIONS}/region/{name}/unregister", b"")

    def _answer(self, path: str, body: bytes | None = None) -> bytes:
        """GET a path of regions, or POST to it; Refused, with the server's words, if it refuses."""
        reply = self.ask(path, body, {"Content-Type": "application/json"})
        if reply.status != http.HTTPStatus.OK:
            json_of(f"{self._address}{path}", reply, A_REGION)
        return reply.body

    def try_requests(
        self, wanted: Sequence[Wanted], encoding: Encoding | None, extensions: Sequence[str]
    ) -> list[Trial]:
        """Try all kinds in this encoding; None: in binary and then as JSON.

        Of a request that fails in both, the server's words about binary are raised where it says
        that it takes that.
        """
        if encoding is not None:
            return self._try(wanted, encoding)
        try:
            return self._try(wanted, Encoding.BINARY)
        except ServerError as refused:
            if isinstance(refused, Refused) and refused.refusal is Refusal.BUSY:
                raise  # that says nothing about encodings
            self.close()  # what could not be read may have spoilt the connection
            try:
                return self._try(wanted, Encoding.JSON, str(refused))
            except ConfigError:
                raise refused from None
            except ServerError as also:
                takes_binary = any(name in extensions for name in BINARY_EXTENSIONS)
                raise (refused if takes_binary else also) from None

    def _try(
        self, wanted: Sequence[Wanted], encoding: Encoding, binary_refused: str | None = None
    ) -> list[Trial]:
        self.encoding = encoding
        self.facts = {"Llhttp": LLHTTP_VERSION, "Encoding": encoding}
        if encoding is Encoding.JSON:  # why, where that was not asked for
            self.facts["BinaryRefused"] = binary_refused
        return [self._try_one(one, encoding) for one in wanted]

    def _try_one(self, wanted: Wanted, encoding: Encoding) -> Trial:
        path = f"{_path(wanted.kind.model, wanted.version)}/infer"
        request: InferRequest | SharedInferRequest = InferRequest(path, wanted, encoding)
        if wanted.places:
            request = SharedInferRequest(path, wanted, wanted.places)
        reply = self.exchange(request.trial(self._address), f"POST {path}", MAX_TRIAL_BYTES)
        return Trial(request, plan_of(f"{self._address}{path}", reply, wanted))


def _path(model: str, version: str | None) -> str:
    at_version = "" if version is None else f"/versions/{quote(version, safe='')}"
    return f"/v2/models/{quote(model, safe='')}{at_version}"
