"""The connections that were made in a run, in words: why, and how long that took."""

from collections.abc import Mapping


def connections_told(
    reconnects: int,
    remade: int,
    times_ms: Mapping[str, float | int | None] | None,
    share: float,
) -> str | None:
    """None where none were made.

    `times_ms` are a result's `ConnectTime`, of the measured part; `share` is its `ConnectShare`.
    """
    counts = {
        "after the server closed one between requests": reconnects,
        "after one was lost": remade,
    }
    told = [f"{count} made {why}" for why, count in counts.items() if count]
    if not told:
        return None
    if times_ms is None:
        return ", ".join(told)
    quantiles = ", ".join(
        f"{name} {ms:.2f}"
        for name, key in (("p50", "q50"), ("p99", "q99"), ("max", "q100"))
        if (ms := times_ms.get(key)) is not None
    )
    return (
        f"{', '.join(told)}; in the measured time connecting took {quantiles} ms, "
        f"{share:.1%} of the workers' time"
    )
