"""The lines of files of prompts, each checked before anything is sent."""

from collections.abc import Sequence
from pathlib import Path

from aibench_fast.errors import ConfigError
from aibench_fast.load.config import RunConfig
from aibench_fast.load.sources import Source
from aibench_fast.protocols.protocol import ServerProtocol
from aibench_fast.tensors.conversations import Conversations, line_of
from aibench_fast.tensors.strings import Strings
from aibench_fast.tensortype import split_strings


def check_prompts(config: RunConfig, sources: Sequence[Source]) -> None:
    """ConfigError, with file and line, where a prompt cannot become a request."""
    for source in sources:
        for one, prompts in zip(source.kind.inputs, source.inputs, strict=True):
            if one.is_prompts and one.file and isinstance(prompts, Strings | Conversations):
                _check(config.protocol, one.file, prompts)


def _check(protocol: ServerProtocol, file: Path, prompts: Strings | Conversations) -> None:
    for place in range(len(prompts)):
        (line,) = split_strings(prompts.read(place, 1))
        try:
            protocol.check_prompt(line)
        except ConfigError as error:
            number = line_of(file, prompts, place)
            raise ConfigError(f"`prompts` {file}, line {number}: {error}") from error
