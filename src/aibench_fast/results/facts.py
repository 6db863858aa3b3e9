"""Objects of a result without fixed keys: facts about the run, and its schedule."""

from collections.abc import Mapping
from typing import Any, TypedDict


class Facts(TypedDict, total=False):
    """Facts about machine, software, model and data; null if one could not be read. Each protocol
    has a key of its own for the version of its library."""

    Host: str
    """The client's host name."""
    CpuModel: str | None
    """The CPU of the client's machine."""
    Cores: int | None
    """Cores that the client may use."""
    Governor: str | None
    """The frequency governor of the cores."""
    Kernel: str | None
    """The system's kernel."""
    Python: str | None
    """The implementation of Python, and its version."""
    Package: str | None
    """aibench-fast's version."""
    Hiredis: str | None
    """The version of the hiredis that is linked in, of a run over RESP."""
    ServerConfig: Mapping[str, Any] | None
    """The server's CONFIG, where it matters to the figures."""
    ModelDigest: str | None
    """SHA-256 of the model."""
    DataDigest: str | None
    """SHA-256 of the tensor file, or of all generated tensors."""
    CommandLine: Any
    """The command as it was typed."""
    Inputs: str | None
    """A request's tensors in words, if --input or the server's model gives them. Since 1.5."""
    Llhttp: str
    """The version of llhttp, of a run over HTTP. Since 1.5."""
    Encoding: str
    """How tensors were sent over HTTP, binary or json. Since 1.6."""
    BinaryRefused: str | None
    """Why they were JSON, in the server's words; null if JSON was asked for. Since 1.6."""
    JsonTensors: int
    """Tensors that were formatted as JSON before the run, of all kinds. Since 1.6."""
    JsonTensorsGiven: int
    """How many there were to format; --json-memory limits them. Since 1.6."""
    JsonBytes: int
    """The memory that their text took. Since 1.6."""
    StringTensors: int
    """Tensors of the kinds with strings that were formatted before the run. Since 1.9."""
    StringTensorsGiven: int
    """How many there were to format; --json-memory limits them. Since 1.9."""
    StringBytes: int
    """The memory that their requests took. Since 1.9."""
    StringsAre: str
    """Their name if they are not tensors: bodies, prompts, or requests without a body. Since
    1.10."""
    PromptTokens: str
    """The length of drawn prompts: a number, or the least and the largest one. Since 1.10."""
    MaxTokens: str
    """How many tokens requests asked for at most, in the same form. Since 1.10."""
    Tokenizer: str
    """The tokenizer.json by which the lengths of drawn prompts are exact. Since 1.10."""
    Sessions: int
    """The conversations of the file of prompts. Since 1.10."""
    Turns: int
    """The turns of all of them; a prompt without a session is a conversation of one. Since 1.10."""
    SharedMemory: str
    """The tensors that servers on the client's machine mapped, instead of receiving or sending
    them: inputs, or all. Since 1.10."""
    SharedMemoryBytes: int
    """The size of the regions that they mapped. Since 1.10."""
    Tls: str
    """The version of TLS and the cipher, of a run by TLS. Since 1.6."""
    Clients: int
    """How many clients the run was over. Since 1.7."""
    CoordinatorBytes: int
    """The reports that clients sent to their coordinator. Since 1.7."""


class Arrivals(TypedDict, total=False):
    """How requests were due; null in a closed loop."""

    Kind: str
    """even, poisson or recorded."""
    Seed: int | None
    """The seed of Poisson arrivals."""
    Profile: str | None
    """The profile as it was written."""
    File: str | None
    """The file of recorded arrivals, or the trace."""
    Speed: float | None
    """How many times as fast as recorded a trace was; null without one. Since 1.10."""
    PeakRps: float | None
    """The highest rate asked for, in requests a second."""
    MaxLagSeconds: float | None
    """How late a request may start."""
    OnLag: str | None
    """The fate of a later request: shed, or stop to end the run."""
