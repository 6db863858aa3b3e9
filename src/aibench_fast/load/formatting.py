"""The tensors of a run in the form that they are sent in: as they are, or formatted beforehand."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from aibench_fast.load.config import RunConfig
from aibench_fast.load.jsontext import format_source
from aibench_fast.load.sources import Formatted, Sent, Source, as_they_are
from aibench_fast.load.stringrequests import format_requests
from aibench_fast.protocols.openinference.encoding import Encoding
from aibench_fast.protocols.session import Session
from aibench_fast.results.events import Observer

if TYPE_CHECKING:
    from aibench_fast.protocols.openinference.session import OpenInferenceSession


def as_sent(
    config: RunConfig, session: Session, sources: Sequence[Source], observe: Observer
) -> tuple[list[Sent], dict[str, Any]]:
    """Each kind's tensors in the form that they are sent in, and what the result says of that.

    ConfigError where --json-memory is too little, or where a value has no form in the encoding.
    """
    told: dict[str, Any] = {}
    as_json = False
    if config.http_address is not None:
        over_http = cast("OpenInferenceSession", session)
        as_json = over_http.encoding is Encoding.JSON
        told["Encoding"] = over_http.encoding
        told |= {"BinaryRefused": over_http.binary_refused} if as_json else {}
    sharing = sum(as_json or source.kind.has_strings for source in sources)
    made: list[Formatted] = []
    sent: list[Sent] = []
    for place, source in enumerate(sources):
        if not as_json and not source.kind.has_strings:
            sent.append(as_they_are(source))
            continue
        memory_bytes = config.json_memory_bytes // sharing
        requests = config.max_requests(sources[0].tensor_count)
        if source.kind.has_strings:
            made.append(
                format_requests(
                    source, place, session, memory_bytes=memory_bytes, requests=requests,
                    as_json=as_json, observe=observe,
                )
            )  # fmt: skip
        else:
            made.append(format_source(source, memory_bytes, requests, observe))
        sent.append(made[-1].sent)
    if made:
        form = "Json" if as_json else "String"
        told[f"{form}Tensors"] = sum(one.tensors for one in made)
        told[f"{form}TensorsGiven"] = sum(one.given for one in made)
        told[f"{form}Bytes"] = sum(one.memory_bytes for one in made)
    return sent, told
