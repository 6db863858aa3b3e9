"""Why connections were made in a run and how long that took, in words."""

from collections.abc import Mapping


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
    quantiles = ", ".join(
        f"{name} {ms:.2f}"
        for name, key in (("p50", "q50"), ("p99", "q99"), ("max", "q100"))
        if (ms := times_ms.get(key)) is not None
    )
    return (
        f"{', '.join(counted)}; in the measured time connecting took {quantiles} ms, "
        f"{share:.1%} of the workers' time"
    )
