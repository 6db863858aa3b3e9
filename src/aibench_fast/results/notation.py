"""Figures that may be unknown, facts, and what came of connections, as text."""

from collections.abc import Mapping

NOT_AVAILABLE = "n/a"


def figure_text(value: float | None, form: str = ".3f") -> str:
    """Return the value in Python's format; NOT_AVAILABLE for None."""
    return NOT_AVAILABLE if value is None else format(value, form)


def fact_text(value: object) -> str:
    """Return a fact as text: yes and no for Python's True and False."""
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def connection_words(
    reconnects: int,
    remade: int,
    times_ms: Mapping[str, float | int | None] | None,
    share: float,
) -> str | None:
    """Return the words; None if no connection was made.

    `times_ms` are a result's `ConnectTime`, of the measured part; `share` is its `ConnectShare`.
    """
    counts = {
        "after the server closed one between requests": reconnects,
        "after one was lost": remade,
    }
    counted = [f"{count} made {why}" for why, count in counts.items() if count]
    if not counted:
        return None
    if times_ms is None:
        return ", ".join(counted)
    return (
        f"{', '.join(counted)}; in the measured time connecting took {_quantiles(times_ms)} ms, "
        f"{share:.1%} of the workers' time"
    )


def window_words(times_ms: Mapping[str, float | int | None] | None, share: float) -> str | None:
    """Return how long requests waited for the server's windows; None if it has no such windows.

    `times_ms` are a result's `WindowWait`; `share` is its `WindowShare`.
    """
    if times_ms is None:
        return None
    return f"{_quantiles(times_ms)} ms, {share:.1%} of the latency"


def reply_words(
    times_ms: Mapping[str, float | int | None] | None, per_request: float
) -> str | None:
    """Return how many replies a request had and when the first one came; None if it has one.

    `times_ms` are a result's `FirstReply`; `per_request` is its `RepliesPerRequest`.
    """
    if times_ms is None:
        return None
    return f"{per_request:.2f} a request, the first one after {_quantiles(times_ms)} ms"


def _quantiles(times_ms: Mapping[str, float | int | None]) -> str:
    return ", ".join(
        f"{name} {ms:.2f}"
        for name, key in (("p50", "q50"), ("p99", "q99"), ("max", "q100"))
        if (ms := times_ms.get(key)) is not None
    )
