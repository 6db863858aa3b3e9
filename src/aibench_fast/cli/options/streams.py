"""Options for the prompts of servers of OpenAI's API, and their streams of tokens."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aibench_fast.cli.options.values import number_range, seconds
from aibench_fast.protocols.openai.settings import Api, StreamEnd


def add_lengths(
    group: "argparse._ArgumentGroup", kind: Callable[[str], Any], default: Any, several: str
) -> None:
    """Add the options for the lengths of prompts and answers; `several` ends their values."""
    group.add_argument(
        "--prompt-tokens", type=kind, default=default, metavar=f"N|LOW-HIGH{several}",
        help="draw prompts of about N tokens from --seed instead, or of lengths spread evenly from "
        "LOW to HIGH; no two are the same",
    )  # fmt: skip
    group.add_argument(
        "--output-tokens", type=kind, default=default, metavar=f"N|LOW-HIGH{several}",
        help="ask for N tokens at most, unless a line of --prompts has max_tokens; with "
        "--prompt-tokens LOW-HIGH draws it for each",
    )  # fmt: skip


def add_stream_options(parser: argparse.ArgumentParser, *, in_grid: bool = False) -> None:
    """Add the options for prompts and for what a stream of tokens has to be.

    With `in_grid` without the lengths of prompts and answers, which are axes of a grid then.
    """
    group = parser.add_argument_group("Streams of tokens")
    group.add_argument(
        "--prompts", type=Path, metavar="FILE.jsonl",
        help="with --url .../v1/chat/completions or .../v1/completions: send each line's messages, "
        "prompt or text, and read the streams of tokens; lines with equal session are turns of a "
        "conversation and go in order, with answer as recorded and delay_ms before a turn",
    )  # fmt: skip
    if not in_grid:
        add_lengths(group, number_range, None, "")
    group.add_argument(
        "--tokenizer", type=Path, metavar="FILE|FOLDER",
        help="make --prompt-tokens, or the lengths of --trace, exact by this tokenizer.json, "
        "without special tokens and the chat's template",
    )  # fmt: skip
    group.add_argument(
        "--first-token-timeout", type=seconds, default=0.0, metavar="TIME",
        dest="first_token_timeout_s",
        help="with prompts: end a stream that has no token after this time, and count it as "
        "failed (default: no limit but --dial-read-timeout)",
    )  # fmt: skip
    group.add_argument(
        "--token-timeout", type=seconds, default=0.0, metavar="TIME", dest="token_timeout_s",
        help="with prompts: end a stream that pauses for longer between two tokens, and count it "
        "as failed (default: no limit but --dial-read-timeout)",
    )  # fmt: skip
    group.add_argument(
        "--min-tokens", type=int, default=0, metavar="N",
        help="with prompts: count a stream of fewer tokens as failed",
    )  # fmt: skip
    group.add_argument(
        "--stream-end", type=StreamEnd, choices=list(StreamEnd), default=StreamEnd.USUAL,
        help="with prompts: what has to come before a reply's end; usual is [DONE] or a "
        "finish_reason, http is nothing more (default: usual)",
    )  # fmt: skip
    group.add_argument(
        "--extra-body", type=Path, metavar="FILE.json",
        help="with prompts: add the fields of this JSON object to each request",
    )  # fmt: skip
    group.add_argument(
        "--api", type=Api, choices=list(Api),
        help="ask for streams of this kind at any path (default: as the path of --url says)",
    )  # fmt: skip


def add_slo_option(parser: argparse.ArgumentParser) -> None:
    """Add the limits that a good request keeps to."""
    parser.add_argument_group("Goodput").add_argument(
        "--slo", action="append", default=[], metavar="FIGURE=LIMIT",
        help="with --prompts: set what a good request keeps to, ttft, ttfa, tpot or latency, such "
        "as ttft=200ms; can be repeated. Goodput is the good requests a second",
    )  # fmt: skip
