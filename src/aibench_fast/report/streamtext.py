"""Streams of tokens in the summary of a run."""

from collections.abc import Iterator, Mapping
from typing import Any

from aibench_fast.results.streamnames import FROM_DUE, TIMES

_SHOWN = {"p50": "q50", "p95": "q95", "p99": "q99", "max": "q100"}


def stream_lines(stream: Mapping[str, Any]) -> Iterator[str]:
    """Yield the figures of streams; of times that others repeat nothing."""
    for times in TIMES:
        if times.is_shown(stream):
            due = stream.get(times.key + FROM_DUE)
            for words, found in (("", stream[times.key]), (", from when it was due", due)):
                if found:
                    yield f"{times.words.capitalize()}{words}: {_times(found)}"
    yield (
        f"Output tokens: {stream['OutputTokens']}, {stream['OutputTokensPerSecond']:.1f} a "
        f"second, counted from {stream['TokensFrom']}; {stream['TokensPerChunk']:.2f} a chunk, "
        f"{stream['EventsPerRead']:.2f} events a read"
    )
    if seconds := stream["SteadySeconds"]:
        yield (
            f"Steady for {seconds:.2f} s, after a ramp of {stream['RampSeconds']:.2f} s and "
            f"before a drain of {stream['DrainSeconds']:.2f} s: "
            f"{stream['RequestsPerSecond']:.2f} requests a second, "
            f"{stream['OutputTokensPerSecondPerUser'] or 0.0:.1f} tokens a second and user"
        )
    if stream["Slo"]:
        limits = " and ".join(f"{name} {limit:g} ms" for name, limit in stream["Slo"].items())
        yield (
            f"Goodput: {stream['Goodput']:.2f} requests a second within {limits}, "
            f"{stream['GoodRequests']} in all"
        )
    if stream["FailedChunks"]:
        yield f"Chunks of failed streams: {stream['FailedChunks']}"


def _times(found: Mapping[str, Any]) -> str:
    known = {word: found[of] for word, of in _SHOWN.items() if found[of] is not None}
    shown = ", ".join(f"{word} {value:.2f}" for word, value in known.items())
    return f"mean {found['mean']:.2f}, {shown} ms"
