"""Options of the server of tokens."""

import argparse
from collections.abc import Callable
from pathlib import Path

from aibench_fast.cli.options.values import seconds
from aibench_fast.files import check_outputs
from aibench_fast.server.tokenserver import Simulation

_OPTIONS = {
    "--model": "model",
    "--prefill": "prefill_s",
    "--prefill-token": "prefill_token_s",
    "--decode": "decode_s",
    "--batch-limit": "batch_limit",
    "--output-tokens": "output_tokens",
    "--reasoning-tokens": "reasoning_tokens",
    "--events-per-write": "events_per_write",
    "--segments": "segments",
    "--stall": "stall_s",
    "--stall-period": "stall_period_s",
    "--fail": "failures",
    "--fail-after": "fail_after",
    "--retry-after": "retry_after_s",
    "--seed": "seed",
    "--log": "log",
}
"""The field of Simulation that each option sets, which is its `dest`."""


def add_token_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `simulation` reads."""
    group = parser.add_argument_group("Tokens", "Of --kind tokens, which computes nothing.")
    _add(group, "--model", "NAME", "serve a model of this name (default: simulated)")
    _add(
        group, "--prefill", "TIME",
        "send the first token this long after a request (default: 50ms)", seconds,
    )  # fmt: skip
    _add(
        group, "--prefill-token", "TIME",
        "add this for each token of the prompt, which is a word (default: 100us)", seconds,
    )  # fmt: skip
    _add(
        group, "--decode", "TIME",
        "send another token each time this has passed (default: 10ms)", seconds,
    )  # fmt: skip
    _add(
        group, "--batch-limit", "N",
        "answer N requests at a time; others wait (default: no limit)", int,
    )  # fmt: skip
    _add(
        group, "--output-tokens", "N",
        "send N tokens to a request without max_tokens (default: 128)", int,
    )  # fmt: skip
    _add(
        group, "--reasoning-tokens", "N",
        "send the first N tokens of a chat as reasoning (default: 0)", int,
    )  # fmt: skip
    _add(
        group, "--events-per-write", "N",
        "send the events of N tokens in one write, but the first token's alone (default: 1)", int,
    )  # fmt: skip
    _add(group, "--segments", "N", "send each write in N pieces (default: 1)", int)
    _add(
        group, "--stall", "TIME",
        "freeze for this long at the end of each --stall-period (default: never)", seconds,
    )  # fmt: skip
    _add(group, "--stall-period", "TIME", "see --stall (default: 10s)", seconds)
    group.add_argument(
        "--fail", type=_failure, action="append", metavar="HOW=PERCENT", dest="failures",
        help="let this share of requests fail, such as 429=10%% or cut=1%%: by an HTTP status; an "
        "error_event; a cut, which closes the connection; an end of the reply without a "
        "finish_reason; or a hang; can be repeated",
    )  # fmt: skip
    _add(
        group, "--fail-after", "N",
        "let streams fail after N tokens; statuses come at once (default: 1)", int,
    )  # fmt: skip
    _add(
        group, "--retry-after", "SECONDS",
        "send this Retry-After with status 429 (default: 1)", int,
    )  # fmt: skip
    _add(group, "--seed", "S", "let other requests fail (default: 0)", int)
    _add(
        group, "--log", "FILE",
        "save the time of each event at the end, in binary (default: do not)", Path,
    )  # fmt: skip


def _failure(words: str) -> tuple[str, float]:
    how, _, percent = words.partition("=")
    try:
        return how, float(percent.removesuffix("%")) / 100
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{words!r} is not a failure and its share; write such as 429=10% or cut=1%"
        ) from error


def _add(
    group: "argparse._ArgumentGroup",
    name: str,
    metavar: str,
    words: str,
    kind: Callable[[str], object] = str,
) -> None:
    group.add_argument(name, type=kind, metavar=metavar, dest=_OPTIONS[name], help=words)


def given_token_options(options: argparse.Namespace) -> list[str]:
    """Return which of the options were given."""
    return [name for name, field in _OPTIONS.items() if getattr(options, field) is not None]


def simulation(options: argparse.Namespace) -> Simulation:
    """Return what the options say; ConfigError if that cannot be."""
    check_outputs([("--log", options.log)])
    fields = _OPTIONS.values()
    given = {field: getattr(options, field) for field in fields}
    given["failures"] = None if options.failures is None else dict(options.failures)
    return Simulation(**{field: value for field, value in given.items() if value is not None})
