"""What a run saw of streams of tokens: when tokens came, and how many."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from aibench_fast.results.fields import counter
from aibench_fast.results.forms import delays
from aibench_fast.results.histogram import LatencyHistogram

SINCE = "1.10"
QUANTILES = {
    "q0": 0.0, "q50": 0.5, "q90": 0.9, "q95": 0.95, "q99": 0.99, "q999": 0.999, "q100": 1.0,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Streams of tokens; empty where replies are none.

    Times are of the measured successes, from when a request started unless it says otherwise.
    """

    first_events: LatencyHistogram = delays("FirstEvents", since=SINCE, is_saved=False)
    """Until the first event, which may have no content."""
    first_tokens: LatencyHistogram = delays("FirstTokens", since=SINCE, is_saved=False)
    """Until the first text, reasoning or tool call."""
    first_tokens_due: LatencyHistogram = delays("FirstTokensDue", since=SINCE, is_saved=False)
    """The same from when a request was due; empty in a closed loop."""
    first_answers: LatencyHistogram = delays("FirstAnswers", since=SINCE, is_saved=False)
    """Until the first text or tool call."""
    token_times: LatencyHistogram = delays("TokenTimes", since=SINCE, is_saved=False)
    """Of each stream the mean time for a token after the first."""
    chunk_gaps: LatencyHistogram = delays("ChunkGaps", since=SINCE, is_saved=False)
    """Between two chunks of a stream, of all streams together."""
    output_tokens: int = counter("OutputTokens", since=SINCE, is_saved=False)
    """As the server counted them; of streams that it did not count, chunks."""
    input_tokens: int = counter("InputTokens", since=SINCE, is_saved=False)
    """As the server counted them."""
    chunks: int = counter("Chunks", since=SINCE, is_saved=False)
    """Events with content."""
    events: int = counter("Events", since=SINCE, is_saved=False)
    """Events, with content or without."""
    event_reads: int = counter("EventReads", since=SINCE, is_saved=False)
    """Receives that brought the end of an event."""
    stamped_reads: int = counter("StampedReads", since=SINCE, is_saved=False)
    """Of those the ones whose time is the kernel's stamp."""
    uncounted_streams: int = counter("UncountedStreams", since=SINCE, is_saved=False)
    """Streams whose tokens the server did not count."""
    failed_chunks: int = counter("FailedChunks", since=SINCE, is_saved=False)
    """Of measured streams that failed."""
    other_chunks: int = counter("OtherChunks", since=SINCE, is_saved=False)
    """Of streams of the warm-up, and of such that the end of the run cut."""
    chunks_so_far: int = counter("ChunksSoFar", since=SINCE, is_saved=False)
    """Of all streams, counted as they come, warm-up included."""

    @property
    def tokens_per_chunk(self) -> float:
        """Output tokens for each event with content; 1 before any is known."""
        return self.output_tokens / self.chunks if self.chunks else 1.0

    @property
    def response_first_tokens(self) -> LatencyHistogram:
        """Until the first content, from when a request was due if there was a schedule."""
        return self.first_tokens_due if self.first_tokens_due.count else self.first_tokens


class Times(TypedDict):
    """Times in milliseconds; null where there are too few to know a percentile."""

    mean: float
    """The mean."""
    q0: float
    """The shortest."""
    q50: float
    """The median."""
    q90: float | None
    """The 90th percentile."""
    q95: float | None
    """The 95th percentile."""
    q99: float | None
    """The 99th percentile."""
    q999: float | None
    """The 99.9th percentile."""
    q100: float
    """The longest."""


class StreamFigures(TypedDict):
    """Streams of tokens: when tokens came, and how many."""

    TimeToFirstEvent: Times | None
    """From a request's start to its first event, which may have no content."""
    TimeToFirstToken: Times | None
    """From a request's start to its first text, reasoning or tool call."""
    TimeToFirstTokenFromDue: Times | None
    """The same from when the request was due; null in a closed loop."""
    TimeToFirstAnswer: Times | None
    """From a request's start to its first text or tool call."""
    TimePerOutputToken: Times | None
    """The mean time for a token after the first, of each stream."""
    ChunkGap: Times | None
    """Between two chunks of a stream, of all streams together."""
    OutputTokens: int
    """Tokens of the measured successes."""
    OutputTokensPerSecond: float
    """The same per second of measured time."""
    InputTokens: int
    """Tokens of the prompts, as the server counted them."""
    TokensFrom: str
    """`usage`: the server counted output tokens; `chunks`: each chunk counts as one; or `both`."""
    TokensPerChunk: float
    """Output tokens for each event with content."""
    EventsPerRead: float
    """Events for each receive that brought the end of one; events of one receive have one time."""
    StampedBy: str
    """Who took the times: `kernel` when the bytes came, `client` behind the receive (with TLS, and
    unix sockets); or `both`."""
    FailedChunks: int
    """Events with content of streams that failed."""


def times_of(found: LatencyHistogram) -> dict[str, Any] | None:
    """Return times as results have them; None without any."""
    if found.count == 0:
        return None
    known = found.known_quantiles_ms(QUANTILES.values())
    quantiles = dict(zip(QUANTILES, known, strict=True)) | {"q100": found.max_ms}
    return {"mean": found.mean_ms, **quantiles}


def stream_figures(tokens: Tokens, output_tokens_per_s: float) -> Mapping[str, Any] | None:
    """Return the figures of streams; None where replies are none."""
    streams = tokens.first_events.count
    if not streams and not tokens.failed_chunks:
        return None
    uncounted = tokens.uncounted_streams
    stamped = tokens.stamped_reads
    return {
        "TimeToFirstEvent": times_of(tokens.first_events),
        "TimeToFirstToken": times_of(tokens.first_tokens),
        "TimeToFirstTokenFromDue": times_of(tokens.first_tokens_due),
        "TimeToFirstAnswer": times_of(tokens.first_answers),
        "TimePerOutputToken": times_of(tokens.token_times),
        "ChunkGap": times_of(tokens.chunk_gaps),
        "OutputTokens": tokens.output_tokens,
        "OutputTokensPerSecond": output_tokens_per_s,
        "InputTokens": tokens.input_tokens,
        "TokensFrom": "usage" if not uncounted else "chunks" if uncounted == streams else "both",
        "TokensPerChunk": tokens.output_tokens / tokens.chunks if tokens.chunks else 0.0,
        "EventsPerRead": tokens.events / tokens.event_reads if tokens.event_reads else 0.0,
        "StampedBy": (
            "client" if not stamped else "kernel" if stamped == tokens.event_reads else "both"
        ),
        "FailedChunks": tokens.failed_chunks,
    }


_NAMES = {
    "TimeToFirstEvent": "Time to first event",
    "TimeToFirstToken": "Time to first token",
    "TimeToFirstTokenFromDue": "Time to first token, from when it was due",
    "TimeToFirstAnswer": "Time to first answer",
    "TimePerOutputToken": "Time per output token",
    "ChunkGap": "Chunk gap",
}


def stream_lines(figures: Mapping[str, Any]) -> list[str]:
    """Return the figures of streams as lines of a summary; of two that are equal only the first."""
    lines = []
    for key, name in _NAMES.items():
        times = figures[key]
        if times is None or (key == "TimeToFirstAnswer" and times == figures["TimeToFirstToken"]):
            continue
        shown = ", ".join(
            f"{word} {times[of]:.2f}"
            for word, of in (("p50", "q50"), ("p95", "q95"), ("p99", "q99"), ("max", "q100"))
            if times[of] is not None
        )
        lines.append(f"{name}: mean {times['mean']:.2f}, {shown} ms")
    lines.append(
        f"Output tokens: {figures['OutputTokens']}, {figures['OutputTokensPerSecond']:.1f} a "
        f"second, counted from {figures['TokensFrom']}; {figures['TokensPerChunk']:.2f} a chunk, "
        f"{figures['EventsPerRead']:.2f} events a read"
    )
    if figures["FailedChunks"]:
        lines.append(f"Chunks of failed streams: {figures['FailedChunks']}")
    return lines
