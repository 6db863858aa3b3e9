"""The JSON of values that are neither numbers nor text."""

from collections.abc import Mapping
from typing import Any

from aibench_fast.results.fieldjson import from_json, to_json
from aibench_fast.results.fields import Form, figure, together
from aibench_fast.results.histogram import LatencyHistogram

MS_PER_S = 1000
QUANTILES = {"q0": 0.0, "q50": 0.5, "q95": 0.95, "q99": 0.99, "q999": 0.999, "q100": 1.0}
"""By their names in the JSON."""
LIVE_QUANTILES = (0.50, 0.90, 0.95, 0.99, 0.99999)
_LIVE_NAMES = ("q50", "q90", "q95", "q99", "q99999")
_MS = {"type": "number", "minimum": 0}
_MS_OR_NULL = {"type": ["number", "null"], "minimum": 0}


def _encoded(latencies: LatencyHistogram, exact: bool) -> dict[str, Any]:
    """Return it with the exact extremes: encoded they are known to a bucket's width."""
    encoded = {"EncodedHistogram": latencies.encode()}
    return encoded | ({"ExtremesUs": latencies.extremes_us} if exact else {})


def _decoded(plain: Mapping[str, Any]) -> LatencyHistogram:
    return LatencyHistogram.decode(plain["EncodedHistogram"], plain.get("ExtremesUs"))


def _write_latencies(latencies: LatencyHistogram, exact: bool) -> dict[str, Any]:
    quantiles = latencies.known_quantiles_ms(QUANTILES.values())
    return {
        "AllQueries": dict(zip(QUANTILES, quantiles, strict=True)),
        **_encoded(latencies, exact),
    }


LATENCIES = Form(
    _write_latencies,
    _decoded,
    {
        "type": "object",
        "required": ["AllQueries", "EncodedHistogram"],
        "properties": {
            "AllQueries": {
                "type": "object",
                "required": [*QUANTILES],
                "properties": dict.fromkeys(QUANTILES, _MS_OR_NULL),
                "description": "Percentiles in milliseconds. null, since 1.9, where there are too "
                "few latencies to know one: q50 needs 1, q95 20, q99 100, q999 1000; before it was "
                "0 without any.",
            },
            "EncodedHistogram": {
                "type": "string",
                "pattern": "^HISTF",
                "description": "All latencies: HdrHistogram's V2 compressed form in base64, values "
                "in microseconds.",
            },
        },
    },
    name="Latencies",
)
"""Latencies: percentiles, and all of them as HdrHistogram encodes them."""


def _write_lags(lags: LatencyHistogram, exact: bool) -> dict[str, Any] | None:
    if lags.count == 0:
        return None
    q50, q99 = lags.known_quantiles_ms((0.5, 0.99))
    percentiles = {"q50": q50, "q99": q99, "q100": lags.max_ms, "count": lags.count}
    return percentiles | (_encoded(lags, exact) if exact else {})


def _read_lags(plain: Mapping[str, Any] | None) -> LatencyHistogram:
    if plain is None or "EncodedHistogram" not in plain:
        return LatencyHistogram.empty()
    return _decoded(plain)


LAGS = Form(
    _write_lags,
    _read_lags,
    {
        "type": ["object", "null"],
        "required": ["q50", "q99", "q100", "count"],
        "properties": {
            "q50": _MS,
            "q99": {**_MS_OR_NULL, "description": "null, since 1.9, of fewer than 100."},
            "q100": _MS,
            "count": {"type": "integer", "minimum": 1},
        },
    },
    name="Delays",
)
"""Delays: a few percentiles, null without any. Only exact JSON has the histogram."""


def delays(key: str, **declared: Any) -> Any:
    """Declare delays of the native core's histogram of the field's name, in milliseconds."""
    declared |= {"form": LAGS, "merge": together, "is_native": True}
    return figure(key, default_factory=LatencyHistogram.empty, **declared)


MILLISECONDS = Form(
    lambda seconds, exact: seconds * MS_PER_S if exact else round(seconds * MS_PER_S),
    lambda plain: plain / MS_PER_S,
    {"type": "integer", "minimum": 0},
)
"""Seconds, as whole milliseconds in a saved file."""

WHOLE_IF_WHOLE = Form(
    lambda value, exact: int(value) if float(value).is_integer() else value,
    lambda plain: plain,
    {"type": "number", "minimum": 0},
)
"""A number that is written as an integer if it is whole, as aibench does."""

RATE = Form(
    lambda value, exact: {"overallOpsRate": value},
    lambda plain: plain["overallOpsRate"],
    {
        "type": "object",
        "required": ["overallOpsRate"],
        "properties": {"overallOpsRate": {"type": "number", "minimum": 0}},
    },
    name="Rate",
)
"""A rate as aibench writes it."""

SPREAD_QUANTILES = Form(
    # 0, which aibench prints before any latency, is null: no latency is that short.
    lambda values, exact: {
        name: one or None for name, one in zip(_LIVE_NAMES, values, strict=True)
    },
    lambda plain: tuple(plain[name] or 0.0 for name in _LIVE_NAMES),
    _MS_OR_NULL,
    spread_over=_LIVE_NAMES,
)
"""Percentiles at LIVE_QUANTILES, each with a key of its own."""

NAMED_QUANTILES = Form(
    lambda values, exact: dict(zip(_LIVE_NAMES, values, strict=False)),
    lambda plain: tuple(plain.values()),
    {"type": "object", "properties": dict.fromkeys(_LIVE_NAMES, _MS)},
)
"""Percentiles at LIVE_QUANTILES in an object, which is empty without any latency."""


def by_time(kind: Any) -> Form:
    """Return the form of dataclasses whose keys are their `unix_ms`."""
    return Form(
        lambda several, exact: {str(one.unix_ms): to_json(one, exact=exact) for one in several},
        lambda plain: tuple(from_json(kind, one, unix_ms=int(key)) for key, one in plain.items()),
        {"type": "object", "propertyNames": {"pattern": "^[0-9]+$"}},
        values=kind,
    )
