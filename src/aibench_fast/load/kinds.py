"""Kinds of request: which model is asked, with which tensors, and how often."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aibench_fast import tensortype
from aibench_fast.errors import ConfigError
from aibench_fast.protocols.protocol import DrawnPrompts, InputSpec, KindSpec
from aibench_fast.tensors import bodies, conversations, prompts, strings, tensorfile, trace
from aibench_fast.units import described_range

MAX_KINDS = 64
MAX_INPUTS = 14
MAX_WEIGHT = 1e12
MAX_WEIGHT_RATIO = 1e9
"""Between two kinds of a mix: a draw has 53 bits, and each kind needs a range of its own."""
MAX_GENERATED_TENSORS = 2000
MAX_GENERATED_BYTES = 256 << 20
"""Of all generated tensors together, unless a single one is larger."""
MAX_GENERATED_TEXT_BYTES = 16 << 20
"""The same of strings, which take longer to make."""
IMAGE_SHAPE = tensortype.image_shape()
BODY_SHAPE = (1,)


@dataclass(frozen=True)
class InputTensor:
    """One input of a model, and where its tensors come from."""

    file: Path | None
    """Tensors of `shape` and `dtype`, one after another, or text; None: generated ones."""
    shape: tuple[int, ...]
    """Of one tensor, without the batch."""
    dtype: str
    """One of tensortype.DTYPES."""
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
    def prompts(self) -> str | None:
        """Return the prompts or bodies in words; None if these are tensors."""
        if self.drawn is not None:
            return f"prompts of {described_range(self.drawn.prompt_tokens)} tokens"
        return f"lines of {self.file}" if self.is_body and self.file is not None else None

    @property
    def files(self) -> list[Path]:
        """Return the files that are read; ConfigError if some are missing."""
        if self.file is None:
            return []
        return bodies.files_of(self.file) if self.is_body else tensorfile.files_of(self.file)

    @property
    def tensor_bytes(self) -> int:
        """Return the size of one tensor without the batch, in bytes; for strings an estimate."""
        return tensortype.tensor_bytes(self.shape, self.dtype)

    @property
    def has_conversations(self) -> bool:
        """Return whether its prompts are turns of conversations; ConfigError as `count_tensors`."""
        if not self.is_prompts or self.file is None:
            return False
        return isinstance(conversations.read(self.file), conversations.Conversations)

    @property
    def is_strings(self) -> bool:
        """Return whether its values are strings, so that each tensor has a length of its own."""
        return self.dtype == tensortype.STRINGS

    def count_tensors(self) -> int:
        """Return how many tensors there are; ConfigError if the file is not a tensor file."""
        if self.drawn is not None:
            return prompts.most_drawn(self.drawn.prompt_tokens)
        if self.file is None:
            most_bytes = MAX_GENERATED_TEXT_BYTES if self.is_strings else MAX_GENERATED_BYTES
            generated = max(1, min(MAX_GENERATED_TENSORS, most_bytes // self.tensor_bytes))
            return 1 if self.is_body else generated
        if self.is_trace:
            return len(trace.read(self.file))
        if self.is_prompts:
            return len(conversations.read(self.file))
        if self.is_body:
            return bodies.count(self.file)
        if self.is_strings:
            return len(strings.read(self.file, self.shape))
        return tensorfile.check(self.file, self.shape, self.dtype)


body_input = partial(InputTensor, shape=BODY_SHAPE, dtype=tensortype.STRINGS, is_body=True)
"""Makes the input of bodies, prompts or a trace of a file or a folder, or of drawn prompts."""


@dataclass(frozen=True)
class RequestKind:
    """One kind of request: a model and its inputs."""

    model: str
    inputs: tuple[InputTensor, ...]
    """In the model's order; one number's tensors are sent together."""
    batch_size: int = 1
    """Tensors of each input per request."""
    weight: float = 1.0
    """Its share of the requests, relative to the other kinds'."""

    @property
    def has_strings(self) -> bool:
        """Return whether an input is of strings, so that each request has a length of its own."""
        return any(one.is_strings for one in self.inputs)

    @property
    def has_bodies(self) -> bool:
        """Return whether bodies are sent, or prompts, and not tensors."""
        return any(one.is_body for one in self.inputs)

    @property
    def is_drawn(self) -> bool:
        """Return whether its prompts are drawn."""
        return any(one.drawn is not None for one in self.inputs)

    @property
    def request_bytes(self) -> int:
        """Return the size of all tensors of a request, in bytes; with strings an estimate."""
        return self.batch_size * sum(one.tensor_bytes for one in self.inputs)

    def request_shape(self, one: InputTensor) -> tuple[int, ...]:
        """Return an input's shape as sent: with an axis for the batch, or it is along the first."""
        if one.is_batched:
            return (self.batch_size, *one.shape)
        first, *others = one.shape
        return (self.batch_size * first, *others)

    @property
    def spec(self) -> KindSpec:
        """Return the kind as a protocol knows it."""
        inputs = [InputSpec(one.name, one.shape, one.dtype, one.is_batched) for one in self.inputs]
        return KindSpec(self.model, self.batch_size, inputs)

    @property
    def tensors(self) -> str:
        """Return the tensors of a request in words, or which prompts it is one of."""
        return " and ".join(
            one.prompts or tensortype.describe(self.request_shape(one), one.dtype)
            for one in self.inputs
        )

    def check(self, where: str = "") -> None:
        """Raise ConfigError if there cannot be such a request; `where` names the table it is of."""
        if not self.model:
            raise ConfigError(
                f"{_named('model', where)} is empty: name the key that it is stored under"
            )
        if not 1 <= len(self.inputs) <= MAX_INPUTS:
            raise ConfigError(f"{where}{len(self.inputs)} inputs; there are from 1 to {MAX_INPUTS}")
        for one in self.inputs:
            tensortype.check(one.shape, one.dtype, where)
        largest = max(one.tensor_bytes for one in self.inputs)
        if not 1 <= self.batch_size <= tensortype.MAX_TENSOR_BYTES // largest:
            raise ConfigError(
                f"{_named('batch_size', where)} {self.batch_size}: it has to be from 1 to "
                f"{tensortype.MAX_TENSOR_BYTES // largest}"
            )
        if not 0 < self.weight <= MAX_WEIGHT:
            raise ConfigError(
                f"{_named('weight', where)} {self.weight:g}: it has to be above 0 and up to "
                f"{MAX_WEIGHT:g}"
            )

    def count_tensors(self) -> int:
        """Return how many tensors there are of each input; ConfigError where files do not agree."""
        files = {one.file: one.count_tensors() for one in self.inputs if one.file is not None}
        if len(set(files.values())) > 1:
            found = ", ".join(f"{file} has {count}" for file, count in files.items())
            raise ConfigError(f"the inputs of {self.model} belong together, but {found} tensors")
        return min(files.values() or [one.count_tensors() for one in self.inputs])


def _named(setting: str, where: str) -> str:
    """Return a setting as it is called in a table, or where there is none, as an argument."""
    return f"{where}{setting.replace('_', '-')}" if where else f"`{setting}`"


def check_weights(kinds: Sequence[RequestKind], where: str) -> None:
    """ConfigError where the weights of a mix are so far apart that a kind would never be sent."""
    least, most = (pick(kinds, key=lambda kind: kind.weight) for pick in (min, max))
    if most.weight > MAX_WEIGHT_RATIO * least.weight:
        raise ConfigError(
            f"{where}the weights {least.weight:g} ({least.model}) and {most.weight:g} "
            f"({most.model}) are too far apart: the largest may be at most {MAX_WEIGHT_RATIO:g} "
            "times the smallest"
        )
