"""The parts of a run in a result file: steps, kinds of request, servers, clients."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aibench_fast.results.fieldjson import number
from aibench_fast.results.histogram import is_known
from aibench_fast.results.streamnames import stream_values

_WORDS = {"Steps": "Step", "Kinds": "Kind", "Servers": "Server", "Clients": "Client"}


@dataclass(frozen=True)
class Part:
    """One of several whose figures add up to the run's."""

    what: str
    """Step, Kind, Server or Client."""
    name: str
    requests: int
    """Measured ones."""
    failed: int
    shed: int
    unsent: int | None
    """Of steps, since format 1.8; requests that were not sent belong to no kind or server."""
    inferences_per_s: float | None
    """None if it took no time."""
    q50_ms: float | None
    q99_ms: float | None
    """None with fewer than 100 successes, as is the median without any."""
    stream: Mapping[str, tuple[float, str]]
    """Figures of streams of tokens that are known, by name, each with its unit."""


def read_parts(document: Mapping[str, Any]) -> list[Part]:
    """Return all parts in a result's JSON; ConfigError, KeyError or TypeError if it is not one."""
    return [part for key in _WORDS for part in _of(document, key)]


def _of(document: Mapping[str, Any], key: str) -> Iterator[Part]:
    for part in document.get(key) or ():
        seconds = (
            number(part, "Seconds") if key == "Steps" else
            number(part if key == "Clients" else document, "MeasuredSeconds")
        )  # fmt: skip
        successes = round(number(part, "Successes"))
        quantiles = part["Quantiles"]["AllQueries"]
        yield Part(
            what=_WORDS[key],
            name=_name(key, part),
            requests=round(number(part, "Requests")),
            failed=sum(round(number(one, "Count")) for one in part["Failures"].values()),
            shed=round(number(part, "Shed")),
            unsent=round(number(part, "Unsent")) if "Unsent" in part else None,
            inferences_per_s=number(part, "Inferences") / seconds if seconds > 0 else None,
            q50_ms=number(quantiles, "q50") if successes else None,
            q99_ms=number(quantiles, "q99") if is_known(0.99, successes) else None,
            stream=stream_values(part.get("Stream") or {}),
        )


def _name(key: str, part: Mapping[str, Any]) -> str:
    if key == "Kinds":
        return f"{part['Model']}, {part['Tensors']}, weight {number(part, 'Weight'):g}"
    if key == "Clients":
        lost = ", lost" if part["Lost"] else ""
        return f"{part['Name']} on {part['Host']}{lost}"
    return str(part["Step" if key == "Steps" else "Address"])
