"""The session with an HTTP endpoint, before and after a run."""

from contextlib import closing
from functools import cache

from aibench_fast._core import LLHTTP_VERSION
from aibench_fast.coretypes import AnyHttpPlan, TokenPlan
from aibench_fast.errors import ServerError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.anyhttp.settings import AnyHttpSettings
from aibench_fast.protocols.openinference.client import REPLY_TIMEOUT_S
from aibench_fast.protocols.openinference.http.client import HttpClient, judged
from aibench_fast.protocols.openinference.http.exchange import Reply, end_of_head, open_head
from aibench_fast.protocols.session import (
    AskedKind,
    Output,
    Plan,
    ServerRecord,
    Session,
    Workload,
)
from aibench_fast.protocols.statistics import Reader, ServerWatch
from aibench_fast.results.groups import ServerFacts
from aibench_fast.tensortype import STRINGS, split_strings

MAX_TRIAL_BYTES = 512 << 20
MAX_REPLY_BYTES = 512 << 20
USUAL_REPLY_BYTES = 256 << 10
"""The room to receive to; a longer reply takes several receives."""
TEXT_SPARE_BYTES = 4096
"""Headers of a reply."""
JUDGED_HEADERS = ("content-encoding", "content-type", "location", "retry-after")


class AnyHttpSession(Session):
    """The session with such an endpoint."""

    def __init__(
        self, settings: AnyHttpSettings, address: HttpAddress, target: str, workload: Workload
    ) -> None:
        """Send a request of each kind on trial; ServerError where its reply is not a success."""
        self.facts = {
            "Llhttp": LLHTTP_VERSION,
            "StringsAre": "requests" if settings.method == "GET" else "bodies",
        }
        self._address = address
        self._target = target
        self._settings = settings
        self._kinds = workload.kinds
        self._end_of = cache(_end_of)
        self._method = settings.method or "POST"
        self._asked = f"{self._method} {target}"
        """As messages call a request."""
        self._head = open_head(address, self._method, target, self._content_type())
        patience_s = max(REPLY_TIMEOUT_S, settings.patience_s)
        with closing(HttpClient(address, patience_s)) as client:
            replies = [self._try(client, kind) for kind in self._kinds]
            self._plans = [self._plan_of(reply) for reply in replies]
            for kind, plan, reply in zip(self._kinds, self._plans, replies, strict=True):
                if wrong := judged(plan, reply, reply.status, JUDGED_HEADERS):
                    raise self._refused(client, kind, reply, wrong)
            self.endpoint = client.endpoint()
        name, _, version = replies[0].headers.get("server", "unknown").partition("/")
        self.record = ServerRecord(
            server=ServerFacts(kind=name, version=version or "unknown", address=str(address)),
            outputs=[Output(STRINGS, 0, 0, any_length=True)] * len(replies),
        )

    def _content_type(self) -> dict[str, str]:
        body_type = self._settings.body_type
        return {} if body_type is None else {"Content-Type": body_type}

    def _try(self, client: HttpClient, kind: AskedKind) -> Reply:
        (one,) = kind.inputs
        whole = self._head + self._rest(kind, one.trial)
        return client.exchange(whole, self._asked, MAX_TRIAL_BYTES)

    def _rest(self, kind: AskedKind, tensor: bytes) -> bytes:
        """Return the end of a request's head, and its body, by the string that is given for it."""
        (given,) = split_strings(tensor)
        body = self._body(kind, given)
        lengths = {} if body is None else {"Content-Length": len(body)}
        return end_of_head(lengths) + (body or b"")

    def _body(self, kind: AskedKind, given: bytes) -> bytes | None:
        """Return a request's body; None: it has none."""
        return None if self._settings.body is None else given

    def _plan_of(self, reply: Reply) -> AnyHttpPlan | TokenPlan:
        return AnyHttpPlan(
            statuses=self._settings.statuses,
            reply=self._settings.reply,
            body_bytes=len(reply.body),
            body_bytes_max=MAX_REPLY_BYTES,
            text_bytes=min(len(reply.body), USUAL_REPLY_BYTES) + TEXT_SPARE_BYTES,
        )

    def _refused(
        self, client: HttpClient, kind: AskedKind, reply: Reply, words: str
    ) -> ServerError:
        """Return the error for a trial that a run would take for a failure."""
        return ServerError(f"{self._address} answered {self._asked} on trial with {words}")

    def label(self, model: str) -> str:
        """Names the endpoint."""
        return f"HTTP {self._method} - {model}"

    @property
    def sends_bodies(self) -> bool:
        """Return whether bodies are sent as they lie."""
        return self._settings.body is not None

    def texts(self, kind: int, worker: int, tensors_bytes: int) -> list[bytes]:
        """Return the beginning of the head, which all requests have in common."""
        return [self._head, b"", b""] if self.sends_bodies else [self._head, b""]

    def formats(self, kind: int) -> bool:
        """Return True: bodies differ in length."""
        return True

    def parts(self, kind: int, number: int) -> list[bytes]:
        """Return what follows the beginning of the head: its end, and a body if there is one."""
        asked = self._kinds[kind]
        return [self._rest(asked, asked.request(number)[0])]

    def before_body(self, size_bytes: int) -> list[bytes]:
        """Return the end of the head."""
        return self._end_of(size_bytes)

    def plan(self, kind: int) -> Plan:
        """Return what every reply has to be."""
        return self._plans[kind]

    def watch(self, process: Reader | None) -> ServerWatch:
        """Return a watch of the server's processes, where they are known."""
        return ServerWatch([process] if process else [], self._address.authority)


def _end_of(body_bytes: int) -> list[bytes]:
    """Return the end of a head; bodies that are as long share one, as millions may be."""
    return [end_of_head({"Content-Length": body_bytes})]
