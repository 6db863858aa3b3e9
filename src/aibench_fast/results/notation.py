"""Figures that may be unknown, facts, and what came of connections, as text."""

from collections.abc import Mapping

NOT_AVAILABLE = "n/a"
Quantiles = Mapping[str, float | int | None]
"""Milliseconds, as results have delays."""


def figure_text(value: float | None, form: str = ".3f") -> str:
    """Return the value in Python's format; NOT_AVAILABLE for None."""
    return NOT_AVAILABLE if value is None else format(value, form)


def fact_text(value: object) -> str:
    """Return a fact as text: yes and no for Python's True and False."""
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def connection_words(
    reconnects: int, remade: int, times_ms: Quantiles | None, share: float
) -> str | None:
    """Return the words of a result's `ConnectTime` and `ConnectShare`; None without connections."""
    counts = {
        "after the server closed one between requests": reconnects,
        "after one was lost": remade,
    }
    words = ", ".join(f"{count} made {why}" for why, count in counts.items() if count)
    if words and times_ms is not None:
        words += (
            f"; in the measured time connecting took {_quantiles(times_ms)} ms, "
            f"{share:.1%} of the workers' time"
        )
    return words or None


def window_words(times_ms: Quantiles | None, share: float) -> str | None:
    """Return the words of `WindowWait` and `WindowShare`; None if servers have no such windows."""
    if times_ms is None:
        return None
    return f"{_quantiles(times_ms)} ms, {share:.1%} of the latency"


def reply_words(times_ms: Quantiles | None, per_request: float) -> str | None:
    """Return the words of `FirstReply` and `RepliesPerRequest`; None if requests have one each."""
    if times_ms is None:
        return None
    return f"{per_request:.2f} a request, the first one after {_quantiles(times_ms)} ms"


def _quantiles(times_ms: Quantiles) -> str:
    return ", ".join(
        f"{name} {ms:.2f}"
        for name, key in (("p50", "q50"), ("p99", "q99"), ("max", "q100"))
        if (ms := times_ms.get(key)) is not None
    )
