"""The parts of a run that a result has figures of: steps, kinds of request, servers, clients."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aibench_fast.results.fieldjson import number
from aibench_fast.results.histogram import is_known

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
    """None of all but steps, and of those before format 1.8: what was never sent is of no kind."""
    inferences_per_s: float | None
    """None where it took no time."""
    q50_ms: float | None
    q99_ms: float | None
    """None of fewer than 100 successes, as is the median of none."""


def read_parts(document: Mapping[str, Any]) -> list[Part]:
    """All parts that a result's JSON has; ConfigError, KeyError or TypeError where it is none."""
    return [part for key in _WORDS for part in _of(document, key)]


def _of(document: Mapping[str, Any], key: str) -> Iterator[Part]:
    for told in document.get(key) or ():
        seconds = (
            number(told, "Seconds") if key == "Steps" else
            number(told if key == "Clients" else document, "MeasuredSeconds")
        )  # fmt: skip
        successes = round(number(told, "Successes"))
        quantiles = told["Quantiles"]["AllQueries"]
        yield Part(
            what=_WORDS[key],
            name=_name(key, told),
            requests=round(number(told, "Requests")),
            failed=sum(round(number(one, "Count")) for one in told["Failures"].values()),
            shed=round(number(told, "Shed")),
            unsent=round(number(told, "Unsent")) if "Unsent" in told else None,
            inferences_per_s=number(told, "Inferences") / seconds if seconds > 0 else None,
            q50_ms=number(quantiles, "q50") if successes else None,
            q99_ms=number(quantiles, "q99") if is_known(0.99, successes) else None,
        )


def _name(key: str, told: Mapping[str, Any]) -> str:
    if key == "Kinds":
        return f"{told['Model']}, {told['Tensors']}, weight {number(told, 'Weight'):g}"
    if key == "Clients":
        lost = ", lost" if told["Lost"] else ""
        return f"{told['Name']} on {told['Host']}{lost}"
    return str(told["Step" if key == "Steps" else "Address"])
