"""The interface of a protocol before any server is visited; `session` has the one after."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from aibench_fast.errors import ConfigError
from aibench_fast.protocols.address import HttpAddress, ServerAddress, all_addresses
from aibench_fast.protocols.settings import ServerSettings
from aibench_fast.tensortype import STRINGS

if TYPE_CHECKING:
    from aibench_fast.protocols.session import Servers, Session
    from aibench_fast.protocols.statistics import ServerReading


MAX_PROMPT_TOKENS = 10_000_000
SIMULATED = "simulated-tokens"
"""How our server of tokens names itself, whose times are simulated."""


@dataclass(frozen=True)
class DrawnPrompts:
    """Prompts that a run draws from its seed."""

    prompt_tokens: tuple[int, int]
    """The least and the largest length."""
    output_tokens: tuple[int, int] | None
    """The same of `max_tokens`; None: requests leave it to the server."""
    tokenizer: Path | None
    """The tokenizer.json that makes lengths exact; None: a word is a token."""


@dataclass(frozen=True)
class InputSpec:
    """An input of a model, as a run sends it."""

    file: Path | None
    """Tensors of `shape` and `dtype`, one after another, or text; None: generated ones."""
    shape: tuple[int, ...]
    """Of one tensor, without the batch; empty: not known yet."""
    dtype: str
    """One of tensortype.DTYPES; empty: not known yet."""
    name: str | None = None
    """Its name in the model; RedisAI goes by the order alone."""
    is_batched: bool = True
    """Whether a request's shape has the batch before this one; else it is along its first axis."""
    is_body: bool = False
    """Whether `file` has bodies of requests, each of which is a tensor of one string."""
    is_json: bool = False
    """Whether each body has to be JSON."""
    is_prompts: bool = False
    """Whether bodies are made from its lines, which may be turns of conversations."""
    is_trace: bool = False
    """Whether it is a trace, whose lines bodies are made from."""
    tokenizer: Path | None = None
    """The tokenizer.json that makes the lengths of a trace's prompts exact."""
    drawn: DrawnPrompts | None = None
    """The prompts that are drawn instead of bodies of a file."""

    @property
    def is_strings(self) -> bool:
        """Return whether its values are strings, so that each tensor has a length of its own."""
        return self.dtype == STRINGS


@dataclass(frozen=True)
class KindSpec:
    """A kind of request: a model and its inputs."""

    model: str
    inputs: Sequence[InputSpec]
    """In the model's order; one number's tensors are sent together."""
    batch_size: int = 1
    """Tensors of each input per request."""


AnyKind = TypeVar("AnyKind", bound=KindSpec)


class ServerProtocol(Protocol):
    """A protocol with the settings of one run.

    Its module imports nothing large: what talks to servers is imported by the methods that do.
    """

    name: str
    """As messages call it."""
    schemes: ClassVar[tuple[str, str]]
    """The schemes of its servers' URLs, without TLS and with it."""
    settings_type: ClassVar[type[ServerSettings]]
    """Its fields are the settings that it has."""
    _settings: Any
    has_pipelines: bool = False
    """Whether a connection may have several requests under way."""
    has_json: ClassVar[bool] = False
    """Whether tensors may be sent as JSON."""
    streams_tokens: ClassVar[bool] = False
    """Whether bodies are made from prompts, maybe of several kinds, and replies are streams of
    tokens."""
    describes_inputs: ClassVar[bool] = False
    """Whether servers say which inputs a model has, so that shapes and dtypes may be left open."""

    def __init__(self, settings: Any) -> None:
        """With the settings of a run, of `settings_type`."""
        self._settings = settings

    @property
    def addresses(self) -> Sequence[ServerAddress | HttpAddress]:
        """Return the servers that are named, of a cluster some of its nodes; ConfigError."""

    @property
    def targets(self) -> Sequence[str]:
        """Return the ends of the servers' URLs: what each is asked for."""
        return [""] * len(self.addresses)

    def check(self, kinds: Sequence[KindSpec]) -> None:
        """ConfigError where its settings cannot be used, or not with such requests."""

    @property
    def body(self) -> Mapping[str, Any]:
        """Return the fields of `InputSpec` that bodies have; none where tensors are sent."""
        return {}

    def check_prompt(self, line: bytes) -> None:
        """ConfigError where a line of prompts cannot become a request."""
        return

    def check_files(self) -> None:
        """ConfigError where a file of its own settings is wrong."""
        return

    def find_model(self) -> str:
        """Return the server's only model, if none is given; ConfigError, ServerError."""
        raise ConfigError("`model` is empty: name the key that it is stored under")

    def with_all_addresses(self) -> Mapping[str, Any]:
        """Return the settings to change so that each address of a name is a server; ServerError."""
        servers, tls = self.addresses, self._settings.tls
        first, *others = [
            f"{dataclasses.replace(one, host=host)}{target}"
            for one, target in zip(servers, self.targets, strict=True)
            for host in all_addresses(one.host, one.port)
        ]
        if len(servers) == 1 and servers[0].tls:
            tls = servers[0].tls.named(servers[0].host)
        return {"url": first, "others": tuple(others), "tls": tls}

    def resolved(self, kinds: Sequence[AnyKind]) -> Sequence[AnyKind]:
        """Return the kinds, with their inputs as the server describes them if it does.

        ServerError where the server or a model is missing; ConfigError where a model takes others.
        """
        return kinds

    def least_workers(self, kinds: Sequence[KindSpec]) -> int:
        """Return the fewest workers that a run can have; errors as of `resolved`."""
        return 1

    def find_servers(self) -> "Servers[Session]":
        """Return the servers as they are now, of a cluster its primaries; ServerError."""

    def read_statistics(self, model: str) -> "ServerReading":
        """Return the first server's counters of a model; ServerError or ConfigError without any."""
        raise ConfigError(
            f"{self.name} has no statistics of models: name a server of RedisAI or of the Open "
            "Inference Protocol"
        )
