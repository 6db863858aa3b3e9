"""The tensors of a run in memory, from files or generated, and their digests."""

import dataclasses
import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from aibench_fast import _core
from aibench_fast.errors import ConfigError, InternalError
from aibench_fast.files import reading
from aibench_fast.load.arrivals import arrivals
from aibench_fast.load.config import RunConfig
from aibench_fast.load.kinds import InputTensor, RequestKind
from aibench_fast.protocols.session import AskedInput, AskedKind, Output
from aibench_fast.results.events import Digesting, Drawing, Observer, ignore
from aibench_fast.tensors import bodies, conversations, prompts, strings, tensorfile
from aibench_fast.tensors.conversations import Conversations
from aibench_fast.tensors.digests import digest_of
from aibench_fast.tensors.strings import Strings
from aibench_fast.tensors.trace import Trace
from aibench_fast.tensortype import VALUE_BYTES, joined_strings, split_strings

PIECE_BYTES = 1 << 20
MAX_COMPARED = 100_000
"""Tensors that are compared with the first one."""
_MAPS = Path("/proc/sys/vm/max_map_count")
_OTHER_MAPS = 2000
"""Of the process, beside those of bodies."""


class Bodies:
    """Bodies in mapped files; like `Strings`, of one string each."""

    def __init__(self, mapped: _core.Tensors) -> None:
        """With the bytes of each body."""
        self.mapped = mapped

    def __len__(self) -> int:
        """Return the number of bodies."""
        return len(self.mapped)

    def read(self, first: int, count: int) -> bytes:
        """Return `count` of them from index `first` on; the first follows the last."""
        places = (place % len(self) for place in range(first, first + count))
        return joined_strings([self.mapped.read(place, 1) for place in places])


AnyTensors = _core.Tensors | Strings | Trace | Conversations | Bodies


@dataclass(frozen=True)
class Source:
    """A kind of request with its tensors."""

    kind: RequestKind
    inputs: Sequence[AnyTensors]
    """In the kind's order."""
    first: int = 0
    """Which tensor is sent first."""

    @property
    def tensor_count(self) -> int:
        """Return how many tensors there are of each input."""
        return len(self.inputs[0])

    @property
    def bodies(self) -> _core.Tensors:
        """Return the bodies of requests in mapped files; InternalError if it has none."""
        (found,) = self.inputs
        if not isinstance(found, Bodies):
            raise InternalError(f"{self.kind.model} has no bodies that lie in files")
        return found.mapped

    def body_bytes(self, number: int) -> int:
        """Return the size of the body of the request of this number."""
        return self.bodies.batch_bytes(1, (self.first + number) % self.tensor_count)

    def asked(self) -> AskedKind:
        """Return the kind as a protocol knows it, with the tensors of the request on trial.

        It is the first one; of drawn prompts the last, and of a trace one of other words, because
        no server should have in a cache what the run sends first.
        """
        kind = self.kind
        asked = AskedKind(kind.model, [], self.inputs, self.first, kind.batch_size)
        trials = asked.request(-1 if kind.is_drawn else 0)
        if isinstance(self.inputs[0], Trace):
            trials = [self.inputs[0].trial()]
        inputs = [
            AskedInput(one.dtype, kind.request_shape(one), trial, one.name)
            for one, trial in zip(kind.inputs, trials, strict=True)
        ]
        return dataclasses.replace(asked, inputs=inputs)

    @property
    def is_in_order(self) -> bool:
        """Return whether all of it is sent as it comes, from the first one on."""
        return any(isinstance(one, Trace | Conversations) for one in self.inputs)

    @property
    def all_equal(self) -> bool:
        """Return whether no tensor of any input differs from the first, where there are several."""
        return all(len(tensors) > 1 and _all_equal(tensors) for tensors in self.inputs)


def _all_equal(tensors: AnyTensors) -> bool:
    """Most files are done with at the second."""
    first = tensors.read(0, 1)
    compared = range(1, min(len(tensors), MAX_COMPARED))
    return all(tensors.read(place, 1) == first for place in compared)


@dataclass(frozen=True)
class Sent:
    """A kind of request with its tensors in the form that they are sent in."""

    kind: RequestKind
    inputs: Sequence[_core.Tensors]
    """Sent between the texts of a request, as they are or as the protocol formats them."""
    first: int
    """Which tensor is sent first."""
    skipped: int = 0
    """How many tensors of the source come before the first one here."""
    numbers: Mapping[str, int] = field(default_factory=dict)
    """Of formatted ones, how many of each input are sent, how many would be if all fitted, and
    their bytes."""

    @property
    def request_bytes(self) -> int:
        """Return the size of all tensors of a request as they are sent."""
        return sum(tensors.batch_bytes(self.kind.batch_size) for tensors in self.inputs)


def open_sources(config: RunConfig, observe: Observer) -> list[Source]:
    """Map the files and draw what is generated, each input from a seed of its own.

    ConfigError if a file is not a tensor file or has a line that cannot become a request, if there
    is not enough memory, or if conversations would have to go by a schedule.
    """
    config.check_conversations()
    seeds = count(config.seed)
    sources = [
        Source(kind, [_open(one, tensor_count, next(seeds), observe) for one in kind.inputs])
        for kind, tensor_count in zip(config.kinds, config.count_tensors(), strict=True)
    ]
    _check_prompts(config, sources)
    return [dataclasses.replace(source, first=_first(config, source)) for source in sources]


def check_files(config: RunConfig) -> None:
    """ConfigError where a file of the run is wrong, as far as that shows without a server."""
    config.count_tensors()
    arrivals(config)
    config.protocol.check_files()
    if config.reference_file is not None:
        tensorfile.size_bytes(config.reference_file)
    # Of what is drawn one is enough; tensors are whatever their file has.
    sources = [
        Source(kind, [_open(one, 1, config.seed, ignore) for one in kind.inputs if one.is_strings])
        for kind in config.kinds
    ]
    _check_prompts(config, sources)


def conversations_of(sources: Sequence[Source]) -> Conversations | None:
    """Return the conversations that a run sends; None if it sends none."""
    found = (one for source in sources for one in source.inputs if isinstance(one, Conversations))
    return next(found, None)


def _open(one: InputTensor, tensor_count: int, seed: int, observe: Observer) -> AnyTensors:
    if drawn := one.drawn:
        return prompts.draw(
            tensor_count, drawn.prompt_tokens, drawn.output_tokens, drawn.tokenizer, seed,
            lambda done, total: observe(Drawing(done, total)),
        )  # fmt: skip
    if one.file is None:
        if one.is_body:
            return Strings([[b""]])
        if one.is_strings:
            return strings.generate(tensor_count, one.shape, seed)
        return _core.Tensors.generate(tensor_count, one.tensor_bytes, one.dtype, seed)
    if one.is_trace:
        return Trace(one.file, seed, one.tokenizer)
    if one.is_prompts:
        return conversations.read(one.file)
    if one.is_body:
        return open_bodies(one.file, as_json=one.is_json)
    if one.is_strings:
        return strings.read(one.file, one.shape)
    return _core.Tensors.open(one.files, one.tensor_bytes)


def open_bodies(path: Path, *, as_json: bool = False) -> Bodies:
    """Map the bodies: each line of a .jsonl file, or each file whole.

    ConfigError if a file cannot be mapped, if there are more than the system maps, or with
    `as_json` if one is not JSON.
    """
    files, is_lines = bodies.files_of(path), bodies.are_lines(path)
    most = int(_MAPS.read_text()) - _OTHER_MAPS
    if len(files) > most:
        raise ConfigError(
            f"bodies {path}: {len(files):,} files, and this system maps {most:,} of them at most: "
            "give a folder with fewer, or raise it by sysctl vm.max_map_count"
        )
    if strange := next((one for one in files if one.exists() and not one.is_file()), None):
        raise ConfigError(f"bodies {strange}: it is not a file; leave it out")
    try:
        mapped = _core.Tensors.open_lines(path) if is_lines else _core.Tensors.open_files(files)
        wrong = mapped.first_not_json() if as_json else None
    except ConfigError as error:
        raise ConfigError(f"bodies {path}: {error}") from error
    if wrong is not None:
        place, reason = wrong
        where = f"{path}, line {bodies.line_of(path, place)}" if is_lines else str(files[place])
        raise ConfigError(
            f"bodies {where}: it is not JSON: {reason}; mend it, or give its own `content_type`"
        )
    return Bodies(mapped)


def _check_prompts(config: RunConfig, sources: Sequence[Source]) -> None:
    """ConfigError, with file and line, where a prompt cannot become a request."""
    protocol = config.protocol
    for source in sources:
        file = source.kind.inputs[0].file
        if file is None or not source.kind.inputs[0].is_prompts:
            continue
        found = source.inputs[0]
        for place in range(len(found)):
            (line,) = split_strings(found.read(place, 1))
            try:
                protocol.check_prompt(line)
            except ConfigError as error:
                number = conversations.line_of(file, place)
                raise ConfigError(f"`prompts` {file}, line {number}: {error}") from error


def _first(config: RunConfig, source: Source) -> int:
    generated = all(one.file is None for one in source.kind.inputs)
    if config.seed == 0 or source.is_in_order or generated:
        return 0
    return random.Random(config.seed).randrange(source.tensor_count)


def data_digests(sources: Sequence[Source], observe: Observer) -> Iterator[str]:
    """Yield the SHA-256 of each input's tensors in hexadecimal."""
    for source in sources:
        for one, tensors in zip(source.kind.inputs, source.inputs, strict=True):
            if one.file is None:
                yield _generated_digest(tensors, one.tensor_bytes)
                continue
            with reading(f"tensor file {one.file}: cannot be read"):
                yield digest_of(one.files, lambda done, total: observe(Digesting(done, total)))


def _generated_digest(tensors: AnyTensors, tensor_bytes: int) -> str:
    digest = hashlib.sha256()
    step = max(1, PIECE_BYTES // tensor_bytes)
    for first in range(0, len(tensors), step):
        digest.update(tensors.read(first, min(step, len(tensors) - first)))
    return digest.hexdigest()


def read_references(
    config: RunConfig, output: Output, tensor_count: int, sent: Sent
) -> bytes | None:
    """Return the outputs to compare with, read whole: they are small, and a file may change.

    There is one for each of the file's tensors; what is returned is in the order of `sent`.
    """
    if config.reference_file is None:
        return None
    if output.first_bytes != output.output_bytes:
        raise ConfigError(
            f"`reference_file` compares one output, and {config.model} answers several: choose one "
            "by `outputs`"
        )
    output_bytes = output.output_bytes // config.batch_size
    if output.dtype != "FLOAT" or output_bytes == 0 or output_bytes % VALUE_BYTES:
        raise ConfigError(
            f"`reference_file` compares FLOAT outputs, one for each image; {config.model} answers "
            f"{output.output_bytes} bytes of {output.dtype} to {config.batch_size} images"
        )
    count = tensorfile.check(config.reference_file, (output_bytes // VALUE_BYTES,))
    if count != tensor_count:
        raise ConfigError(
            f"{config.reference_file} has {count} reference outputs for {tensor_count} tensors: "
            "there has to be one for each"
        )
    files = tensorfile.files_of(config.reference_file)
    references = b"".join(file.read_bytes() for file in files)
    skipped_bytes, sent_bytes = sent.skipped * output_bytes, len(sent.inputs[0]) * output_bytes
    ring = references[skipped_bytes:] + references[:skipped_bytes]
    return (ring * -(-sent_bytes // len(ring)))[:sent_bytes]
