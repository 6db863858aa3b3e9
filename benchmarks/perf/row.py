"""One line of the table, and how two clients are compared for it."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar


@dataclass(frozen=True)
class Measured:
    """One round of one client."""

    per_s: float
    """Requests a second, or what else it does."""
    cpu_s: float = 0.0
    """Client CPU time of a request."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A measured figure, beside its goal."""

    name: str
    figure: str
    """A description of the measured number."""
    rounds: tuple[float, ...]
    """The figure of each round; none where it could not be measured, and the note says why."""
    at_least: float | None = None
    at_most: float | None = None
    beside: Mapping[str, float] = field(default_factory=dict)
    """The medians that the figure comes from."""
    unit: str = ""
    """Of those."""
    note: str = ""

    @property
    def measured(self) -> float | None:
        """The median of the rounds."""
        return statistics.median(self.rounds) if self.rounds else None

    @property
    def reached(self) -> bool | None:
        """None where there is nothing to reach; what was not measured is not reached."""
        if self.at_least is None and self.at_most is None:
            return None
        if self.measured is None:
            return False
        return (self.at_least is None or self.measured >= self.at_least) and (
            self.at_most is None or self.measured <= self.at_most
        )


Setting = TypeVar("Setting")
Round = TypeVar("Round")
Rounds = Mapping[str, Sequence[Measured]]


def alternate(
    clients: Mapping[Setting, Callable[[], Round]], rounds: int
) -> dict[Setting, list[Round]]:
    """Run the clients in turn, every other round in the opposite order.

    So a slow moment of the machine, or one that gets slower, hits all of them alike.
    """
    measured: dict[Setting, list[Round]] = {name: [] for name in clients}
    for number in range(rounds):
        for name in list(clients)[:: -1 if number % 2 else 1]:
            measured[name].append(clients[name]())
    return measured


def fastest(clients: Mapping[Setting, Callable[[], Measured]]) -> tuple[Setting, Measured]:
    """Run each client twice, in turn; return which had the best round, and that round."""
    rounds = alternate(clients, 2)
    best = {setting: max(measured, key=lambda m: m.per_s) for setting, measured in rounds.items()}
    winner = max(best, key=lambda setting: best[setting].per_s)
    return winner, best[winner]


def ratios(rounds: Rounds, ours: str, peer: str) -> tuple[float, ...]:
    """Our rate over the peer's, of each round by itself."""
    pairs = zip(rounds[ours], rounds[peer], strict=True)
    return tuple(one.per_s / other.per_s for one, other in pairs)


def cpu_ratios(rounds: Rounds, ours: str, peer: str) -> tuple[float, ...]:
    """Our CPU time of a request over the peer's, of each round by itself."""
    pairs = zip(rounds[ours], rounds[peer], strict=True)
    return tuple(one.cpu_s / other.cpu_s for one, other in pairs)


def rate_row(rounds: Rounds, ours: str, peer: str, **more: Any) -> Row:
    """A row of our rate over the peer's; `more` is what else it has."""
    return Row(
        rounds=ratios(rounds, ours, peer), beside=median_rates(rounds), unit="requests/s", **more
    )


def cpu_row(rounds: Rounds, ours: str, peer: str, **more: Any) -> Row:
    """A row of our CPU time of a request over the peer's; `more` is what else it has."""
    return Row(
        rounds=cpu_ratios(rounds, ours, peer), beside=median_cpu_us(rounds),
        unit="us a request", **more,
    )  # fmt: skip


def median_rates(rounds: Rounds) -> dict[str, float]:
    """The median rate of each client."""
    return {
        name: statistics.median(one.per_s for one in measured) for name, measured in rounds.items()
    }


def median_cpu_us(rounds: Rounds) -> dict[str, float]:
    """The median CPU time of a request of each client, in microseconds."""
    return {
        name: statistics.median(one.cpu_s for one in measured) * 1e6
        for name, measured in rounds.items()
    }


def workers_told(count: int) -> str:
    """So many workers, in words."""
    return f"{count:,} worker{'s' if count > 1 else ''}"
