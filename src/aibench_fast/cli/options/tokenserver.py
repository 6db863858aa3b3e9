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
        group, "--log", "FILE",
        "save the time of each event at the end, in binary (default: do not)", Path,
    )  # fmt: skip


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
    return Simulation(**{field: value for field, value in given.items() if value is not None})
