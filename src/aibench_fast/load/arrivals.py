"""When requests are due, and which of them are warm-up: a config as the native schedule.

Its arithmetic is in native/schedule.h.
"""

import math
from array import array
from pathlib import Path
from typing import NamedTuple

from aibench_fast._core import BURN_IN_UNTIL_MEASURING, first_due_ns
from aibench_fast.coretypes import Schedule, Segment
from aibench_fast.errors import ConfigError
from aibench_fast.files import TEXT_ENCODING
from aibench_fast.load.config import RunConfig
from aibench_fast.tensors import trace
from aibench_fast.tensors.conversations import Conversations
from aibench_fast.tensors.readonce import read_once

NS_PER_S = 1_000_000_000


class Arrivals(NamedTuple):
    """When requests are due, as the load generator takes it."""

    schedule: Schedule | None
    """None: a closed loop without conversations."""
    burn_in_requests: int
    burn_in_ns: int
    measured_after_ns: int = 0
    """Of one client of several, when the first measured request of any is due; 0: of its own."""


def arrivals(config: RunConfig, conversations: Conversations | None = None) -> Arrivals:
    """Make the native schedule; ConfigError if a file of arrivals is wrong or all warm-up."""
    whole = _whole(config)
    if conversations is not None:
        turns, delays = conversations.first_turns.tobytes(), conversations.delays_ns.tobytes()
        schedule = Schedule("conversations", first_turns=turns, delays_ns=delays)
        whole = whole._replace(schedule=schedule)
    if config.share is None:
        return whole
    if whole.schedule is None or conversations is not None:
        if whole.burn_in_requests == BURN_IN_UNTIL_MEASURING:
            return whole
        return whole._replace(burn_in_requests=config.share.count(whole.burn_in_requests))
    first_ns = first_due_ns(whole.schedule, whole.burn_in_requests, whole.burn_in_ns)
    return whole._replace(measured_after_ns=first_ns or 0)


def _whole(config: RunConfig) -> Arrivals:
    if config.profile:
        return _by_profile(config)
    if config.arrivals_file is not None:
        return _recorded(config, config.arrivals_file, read_arrivals(config.arrivals_file))
    if config.trace is not None:
        return _recorded(config, config.trace, trace.read_arrivals(config.trace, config.speed))
    if not config.limit_rps:
        by_time = config.burn_in_s or config.burn_in_until_steady
        return Arrivals(None, BURN_IN_UNTIL_MEASURING if by_time else config.burn_in, 0)
    forever = Segment(config.limit_rps, config.limit_rps, math.inf)
    schedule = Schedule(config.arrivals, [forever], config.seed)
    burn_in = BURN_IN_UNTIL_MEASURING if config.burn_in_until_steady else config.burn_in
    return Arrivals(schedule, burn_in, _ns(config.burn_in_s))


def _by_profile(config: RunConfig) -> Arrivals:
    """Put the warm-up before the profile, at the rate that it begins with."""
    steps = [
        Segment(step.from_per_s, step.to_per_s, step.duration_s, place)
        for place, step in enumerate(config.profile)
    ]
    rate = next(per_s for step in steps for per_s in (step.from_per_s, step.to_per_s) if per_s)
    lead_s = config.burn_in_s or config.burn_in / rate
    lead = [Segment(rate, rate, lead_s)] if lead_s else []
    return Arrivals(Schedule(config.arrivals, [*lead, *steps], config.seed), 0, _ns(lead_s))


def _recorded(config: RunConfig, file: Path, offsets_ns: "array[int]") -> Arrivals:
    if config.burn_in >= len(offsets_ns) or _ns(config.burn_in_s) > offsets_ns[-1]:
        raise ConfigError(
            f"`burn_in_s` leaves nothing to measure of the {len(offsets_ns)} arrivals, the last at "
            f"{offsets_ns[-1] / NS_PER_S:g} s, in {file}"
        )
    schedule = Schedule("recorded", offsets_ns=offsets_ns.tobytes())
    return Arrivals(schedule, config.burn_in, _ns(config.burn_in_s))


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


@read_once()
def read_arrivals(file: Path) -> "array[int]":
    """Read the offsets, in nanoseconds.

    Empty lines and those that begin with # are skipped. ConfigError names the line that is not a
    number, or is before the one above it, or the file that has none.
    """
    offsets_ns = array("q")
    try:
        with file.open(encoding=TEXT_ENCODING) as lines:
            for number, line in enumerate(lines, start=1):
                words = line.partition("#")[0].strip()
                if not words:
                    continue
                where = f"`arrivals_file` {file}, line {number}: "
                try:
                    offset_s = float(words)
                except ValueError:
                    offset_s = math.nan
                if not 0 <= offset_s < 1e9:
                    raise ConfigError(f"{where}{words!r} is not an offset in seconds from 0 on")
                offsets_ns.append(_ns(offset_s))
                if len(offsets_ns) > 1 and offsets_ns[-1] < offsets_ns[-2]:
                    raise ConfigError(
                        f"{where}{words} s is before the line above it; offsets go up"
                    )
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"`arrivals_file` {file}: cannot be read: {error}") from error
    if not offsets_ns:
        raise ConfigError(f"`arrivals_file` {file}: it has no offset; write one a line, in seconds")
    return offsets_ns
