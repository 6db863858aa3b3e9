"""The tensors of a run in the form that they are sent in: as they are, or formatted beforehand."""

from collections.abc import Sequence
from typing import Any

from aibench_fast.load.config import RunConfig
from aibench_fast.load.formattedrequests import format_requests
from aibench_fast.load.jsontext import format_source
from aibench_fast.load.sources import Formatted, Sent, Source, as_they_are
from aibench_fast.protocols.encoding import Encoding
from aibench_fast.protocols.session import Session
from aibench_fast.results.events import Observer


def as_sent(
    config: RunConfig, session: Session, sources: Sequence[Source], observe: Observer
) -> tuple[list[Sent], dict[str, Any]]:
    """Return each kind's tensors in the form that they are sent in, and facts for the result.

    ConfigError if the memory limit is too low, or if the encoding has no form for a value.
    """
    as_json = session.encoding is Encoding.JSON
    formats = [session.formats(place) for place in range(len(sources))]
    sharing = len(sources) if as_json else sum(formats)
    made: list[Formatted] = []
    sent: list[Sent] = []
    for place, source in enumerate(sources):
        if not as_json and not formats[place]:
            sent.append(as_they_are(source))
            continue
        memory_bytes = config.json_memory_bytes // sharing
        requests = config.max_requests(sources[0].tensor_count)
        if formats[place]:
            made.append(
                format_requests(
                    source, place, session, memory_bytes=memory_bytes, requests=requests,
                    as_json=as_json, observe=observe,
                )
            )  # fmt: skip
        else:
            made.append(format_source(source, memory_bytes, requests, observe))
        sent.append(made[-1].sent)
    if session.sends_bodies or (not as_json and not any(one.kind.has_strings for one in sources)):
        return sent, {}
    form = "Json" if as_json else "String"
    return sent, {
        f"{form}Tensors": sum(one.tensors for one in made),
        f"{form}TensorsGiven": sum(one.given for one in made),
        f"{form}Bytes": sum(one.memory_bytes for one in made),
    }
