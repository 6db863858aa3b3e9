"""Figures of streams of tokens: when tokens came, and how many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from aibench_fast.results.fields import counter, figure, greatest
from aibench_fast.results.forms import delays
from aibench_fast.results.histogram import US_PER_MS, LatencyHistogram

SINCE = "1.10"
QUANTILES = {
    "q0": 0.0, "q50": 0.5, "q90": 0.9, "q95": 0.95, "q99": 0.99, "q999": 0.999, "q100": 1.0,
}  # fmt: skip
_NS_PER_S = 1e9
_MILLI = 1e-3


def _added_rates(owners: Sequence["Tokens"], name: str) -> float:
    """Return the time in which all have their tokens together: the rates of several add up."""
    rates = [one.steady_millitokens / one.steady_s for one in owners if one.steady_s]
    tokens = sum(one.steady_millitokens for one in owners if one.steady_s)
    return tokens / sum(rates) if tokens else max(one.steady_s for one in owners)


_JOURNALED: Mapping[str, Any] = {"since": SINCE, "is_saved": False}
"""Of fields that only journals and reports of clients have; a saved result has `Stream`."""


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Streams of tokens; empty where replies are none.

    Times are of the measured successes, from when a request started unless it says otherwise.
    """

    first_events: LatencyHistogram = delays("FirstEvents", **_JOURNALED)
    """Until the first event, which may have no content."""
    first_events_due: LatencyHistogram = delays("FirstEventsDue", **_JOURNALED)
    """The same from when a request was due; empty in a closed loop, as the next two of the kind."""
    first_tokens: LatencyHistogram = delays("FirstTokens", **_JOURNALED)
    """Until the first text, reasoning or tool call."""
    first_tokens_due: LatencyHistogram = delays("FirstTokensDue", **_JOURNALED)
    """The same from when a request was due."""
    first_answers: LatencyHistogram = delays("FirstAnswers", **_JOURNALED)
    """Until the first text or tool call."""
    first_answers_due: LatencyHistogram = delays("FirstAnswersDue", **_JOURNALED)
    """The same from when a request was due."""
    token_times: LatencyHistogram = delays("TokenTimes", **_JOURNALED)
    """Of each stream the mean time for a token after the first."""
    chunk_gaps: LatencyHistogram = delays("ChunkGaps", **_JOURNALED)
    """Between two chunks of a stream, of all streams together."""
    output_lengths: LatencyHistogram = delays("OutputLengths", **_JOURNALED)
    """Tokens of each answer: a microsecond stands for one."""
    input_lengths: LatencyHistogram = delays("InputLengths", **_JOURNALED)
    """Tokens of each prompt that the server counted, likewise."""
    output_tokens: int = counter("OutputTokens", **_JOURNALED)
    """As the server counted them; of streams that it did not count, chunks."""
    input_tokens: int = counter("InputTokens", **_JOURNALED)
    """As the server counted them."""
    chunks: int = counter("Chunks", **_JOURNALED)
    """Events with content."""
    events: int = counter("Events", **_JOURNALED)
    """Events, with content or without."""
    event_reads: int = counter("EventReads", **_JOURNALED)
    """Receives that brought the end of an event."""
    stamped_reads: int = counter("StampedReads", **_JOURNALED)
    """Of those the ones whose time is the kernel's stamp."""
    uncounted_streams: int = counter("UncountedStreams", **_JOURNALED)
    """Streams whose tokens the server did not count."""
    failed_chunks: int = counter("FailedChunks", **_JOURNALED)
    """Of measured streams that failed."""
    other_chunks: int = counter("OtherChunks", **_JOURNALED)
    """Of streams of the warm-up, and of such that the end of the run cut."""
    good_streams: int = counter("GoodStreams", **_JOURNALED)
    """Streams within all limits of `slo`."""
    steady_millitokens: int = counter("SteadyMillitokens", **_JOURNALED)
    """Thousandths of output tokens in the steady window, in which a stream counts by its share."""
    steady_millistreams: int = counter("SteadyMillistreams", **_JOURNALED)
    """The same of successes."""
    steady_milligood: int = counter("SteadyMilligood", **_JOURNALED)
    """The same of successes within all limits of `slo`."""
    steady_stream_ns: int = counter("SteadyStreamNs", **_JOURNALED)
    """The time of all streams in the steady window, added up."""
    steady_s: float = figure("SteadySeconds", default=0.0, merge=_added_rates, **_JOURNALED)
    """How long the steady window was; 0: there was none."""
    ramp_s: float = figure("RampSeconds", default=0.0, merge=greatest, **_JOURNALED)
    """From the run's start to that window."""
    drain_s: float = figure("DrainSeconds", default=0.0, merge=greatest, **_JOURNALED)
    """From that window to the last answer."""
    span_s: float = figure("SpanSeconds", default=0.0, merge=greatest, **_JOURNALED)
    """The time that rates are divided by without a steady window."""
    slo: Mapping[str, float] | None = figure("Slo", default=None, **_JOURNALED)
    """The limits of a good stream, in milliseconds; None: none were given."""

    @property
    def response_first_events(self) -> LatencyHistogram:
        """Until the first event, from when a request was due if there was a schedule."""
        return self.first_events_due if self.first_events_due.count else self.first_events

    @property
    def tokens_per_chunk(self) -> float:
        """Output tokens for each event with content; 1 before any is known."""
        return self.output_tokens / self.chunks if self.chunks else 1.0

    @property
    def response_first_tokens(self) -> LatencyHistogram:
        """Until the first content, likewise."""
        return self.first_tokens_due if self.first_tokens_due.count else self.first_tokens

    @property
    def response_first_answers(self) -> LatencyHistogram:
        """Until the first content that is not reasoning, likewise."""
        return self.first_answers_due if self.first_answers_due.count else self.first_answers

    @property
    def output_tokens_per_s(self) -> float:
        """Output tokens a second in the steady window, or of all measured time without one."""
        return self._a_second(self.steady_millitokens, self.output_tokens)

    @property
    def requests_per_s(self) -> float:
        """Successes a second, likewise."""
        return self._a_second(self.steady_millistreams, self.first_events.count)

    @property
    def goodput(self) -> float | None:
        """Successes a second within all limits of `slo`, likewise; None without limits."""
        if self.slo is None:
            return None
        return self._a_second(self.steady_milligood, self.good_streams)

    @property
    def output_tokens_per_s_and_user(self) -> float:
        """Output tokens a second for each stream under way in the steady window; 0 without one."""
        stream_s = self.steady_stream_ns / _NS_PER_S
        return self.steady_millitokens * _MILLI / stream_s if stream_s else 0.0

    def _a_second(self, steady_millis: int, of_all: int) -> float:
        if self.steady_s:
            return steady_millis * _MILLI / self.steady_s
        return of_all / self.span_s if self.span_s else 0.0


class Times(TypedDict):
    """Times in milliseconds, or tokens; null where there are too few to know a percentile."""

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
    TimeToFirstEventFromDue: Times | None
    """The same from when the request was due; null in a closed loop."""
    TimeToFirstToken: Times | None
    """From a request's start to its first text, reasoning or tool call."""
    TimeToFirstTokenFromDue: Times | None
    """The same from when the request was due; null in a closed loop."""
    TimeToFirstAnswer: Times | None
    """From a request's start to its first text or tool call."""
    TimeToFirstAnswerFromDue: Times | None
    """The same from when the request was due; null in a closed loop."""
    TimePerOutputToken: Times | None
    """The mean time for a token after the first, of each stream."""
    ChunkGap: Times | None
    """Between two chunks of a stream, of all streams together."""
    EndToEnd: Times | None
    """From a request's start to the end of its reply."""
    EndToEndFromDue: Times | None
    """The same from when the request was due; null in a closed loop."""
    OutputTokensPerRequest: Times | None
    """Tokens of an answer."""
    InputTokensPerRequest: Times | None
    """Tokens of a prompt, as the server counted them."""
    OutputTokens: int
    """Tokens of the measured successes."""
    OutputTokensPerSecond: float
    """Output tokens a second in the steady window; without one, OutputTokens over measured time."""
    RequestsPerSecond: float
    """Successes a second, likewise."""
    OutputTokensPerSecondPerUser: float | None
    """Output tokens a second for each stream under way in the steady window; null without one."""
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
    SteadySeconds: float
    """How long the steady window was; 0: there was none."""
    RampSeconds: float
    """From the run's start to the steady window; its tokens are in no rate."""
    DrainSeconds: float
    """From the steady window to the last answer; likewise."""
    Slo: Mapping[str, float] | None
    """The limits that a good request keeps to, in milliseconds; null without."""
    GoodRequests: int | None
    """Measured requests that kept to all of them; null without limits."""
    Goodput: float | None
    """The same a second, in the steady window if there was one."""
    Histograms: Mapping[str, str]
    """All times, and tokens as microseconds: HdrHistogram's V2 compressed form in base64, by the
    names above."""


def times_of(found: LatencyHistogram, unit: float = 1.0) -> dict[str, Any] | None:
    """Return times as results have them; None without any. `unit`: in how many milliseconds."""
    if found.count == 0:
        return None
    values = [found.mean_ms, *found.known_quantiles_ms(QUANTILES.values())]
    return {
        name: value if value is None else value / unit
        for name, value in zip(("mean", *QUANTILES), values, strict=True)
    }


_ONE_TOKEN_MS = 1 / US_PER_MS
LENGTHS = ("OutputTokensPerRequest", "InputTokensPerRequest")
"""Figures in tokens; all others with a histogram are times."""


def stream_histogram(stream: Mapping[str, Any], key: str) -> LatencyHistogram:
    """Return a figure's histogram, empty without any; of LENGTHS in us. ConfigError if broken."""
    encoded, times = stream.get("Histograms", {}).get(key), stream.get(key)
    return LatencyHistogram.decode(encoded) if encoded and times else LatencyHistogram.empty()


def stream_figures(
    tokens: Tokens, latencies: LatencyHistogram, service: LatencyHistogram | None
) -> Mapping[str, Any] | None:
    """Return the figures of streams; None where replies are none. `latencies` are from the intended
    start, `service` from the actual one if that is another.
    """
    streams = tokens.first_events.count
    if not streams and not tokens.failed_chunks:
        return None
    uncounted = tokens.uncounted_streams
    stamped = tokens.stamped_reads
    found = {
        "TimeToFirstEvent": tokens.first_events,
        "TimeToFirstEventFromDue": tokens.first_events_due,
        "TimeToFirstToken": tokens.first_tokens,
        "TimeToFirstTokenFromDue": tokens.first_tokens_due,
        "TimeToFirstAnswer": tokens.first_answers,
        "TimeToFirstAnswerFromDue": tokens.first_answers_due,
        "TimePerOutputToken": tokens.token_times,
        "ChunkGap": tokens.chunk_gaps,
        "EndToEnd": service or latencies,
        "EndToEndFromDue": LatencyHistogram.empty() if service is None else latencies,
        "OutputTokensPerRequest": tokens.output_lengths,
        "InputTokensPerRequest": tokens.input_lengths,
    }
    return {
        **{
            name: times_of(one, _ONE_TOKEN_MS if name in LENGTHS else 1.0)
            for name, one in found.items()
        },
        "OutputTokens": tokens.output_tokens,
        "OutputTokensPerSecond": tokens.output_tokens_per_s,
        "RequestsPerSecond": tokens.requests_per_s,
        "OutputTokensPerSecondPerUser": tokens.output_tokens_per_s_and_user or None,
        "InputTokens": tokens.input_tokens,
        "TokensFrom": "usage" if not uncounted else "chunks" if uncounted == streams else "both",
        "TokensPerChunk": tokens.output_tokens / tokens.chunks if tokens.chunks else 0.0,
        "EventsPerRead": tokens.events / tokens.event_reads if tokens.event_reads else 0.0,
        "StampedBy": (
            "client" if not stamped else "kernel" if stamped == tokens.event_reads else "both"
        ),
        "FailedChunks": tokens.failed_chunks,
        "SteadySeconds": tokens.steady_s,
        "RampSeconds": tokens.ramp_s,
        "DrainSeconds": tokens.drain_s,
        "Slo": tokens.slo,
        "GoodRequests": None if tokens.slo is None else tokens.good_streams,
        "Goodput": tokens.goodput,
        "Histograms": {name: one.encode() for name, one in found.items() if one.count},
    }
