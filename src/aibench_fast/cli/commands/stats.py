"""`aibench-fast stats`."""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aibench_fast.cli.options.parser import add_all, by_name
from aibench_fast.cli.options.secrets import read_headers
from aibench_fast.cli.options.server import add_server_options, located
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.load.config import DEFAULT_MODEL
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.connection import Connection, info, text
from aibench_fast.protocols.redisai.statistics import PROBE_TIMEOUT_S, derived, request_time
from aibench_fast.protocols.registry import ProtocolSettings, protocol_of
from aibench_fast.protocols.statistics import since_start
from aibench_fast.results.histogram import LatencyHistogram

_UNKNOWN = "not reported"
_DERIVED = (
    ("mean batch", "mean_batch", ".2f", " images per request"),
    ("execution", "execution_ms", ".3f", " ms"),
    ("main thread", "main_thread_share", ".1%", " of the CPU time"),
    ("background threads", "background_threads_share", ".1%", " of the CPU time"),
)
"""The figures of `derived` that are printed, with their forms and units."""


EXAMPLE = "aibench-fast stats --model mobilenet_v1_100_224_cpu --result results/bench.json"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_server_options(parser, any_protocol=True)
    add_all(
        parser,
        {
            "--model NAME": "show the statistics of the model with this key or name (default: "
            "%(default)s)",
            "--model-version V": "with --url: of this version (default: the server's choice)",
            "--result FILE": "show where the time of requests went in this result",
            "--format": "print in this format (default: text)",
        },
        model={"default": DEFAULT_MODEL},
        format={"choices": ("text", "json"), "default": "text"},
    )
    parser.set_defaults(handler=_stats)


def _stats(options: argparse.Namespace) -> int:
    settings = by_name(
        ProtocolSettings, options, **located(options), headers=read_headers(options.header)
    )
    request = _request_time(options.result) if options.result else None
    stats = since_start(protocol_of(settings).read_statistics(options.model))
    replies = list(_counters(stats) if settings.url else _replies(settings.address, options.model))
    if options.format == "json":
        shown = {"Statistics": stats, "Derived": derived(stats), "RequestTime": request}
        print(json.dumps(shown, indent=2))
        return 0
    print("\n".join(replies))
    print("\n".join(_derived_lines(stats)))
    if options.result:
        print("\n".join(_request_lines(options.result, request)))
    return 0


def _counters(stats: Mapping[str, Any]) -> Iterator[str]:
    """Yield the counters of a server that has no text of its own for them."""
    yield "# Counters"
    yield from (f"{name}:{value}" for name, value in stats.items() if name != "notes")
    yield from stats.get("notes", ())
    yield ""


def _replies(server: ServerAddress, model: str) -> Iterator[str]:
    """Yield the three replies as redis-cli shows them, with the AI.* commands only."""
    with Connection(server, PROBE_TIMEOUT_S) as connection:
        try:
            of_model = connection.call("AI.INFO", model)
        except ServerError as error:
            raise ServerError(
                f"{error}; the server has no statistics of {model}: is it loaded, and --model "
                "right?"
            ) from error
        commands = info(connection.optional("INFO", "commandstats"))
        modules = connection.optional("INFO", "modules")
    yield f"AI.INFO {model}"
    items = of_model if isinstance(of_model, list) else [of_model]
    yield from (f"{number:2}) {_shown(item)}" for number, item in enumerate(items, 1))
    yield ""
    yield "# Commandstats"
    yield from sorted(f"{k}:{v}" for k, v in commands.items() if k.startswith("cmdstat_ai."))
    yield ""
    yield from text(modules or "# Modules").splitlines()
    yield ""


def _shown(item: object) -> str:
    return f"(integer) {item}" if isinstance(item, int) else f'"{text(item)}"'


def _derived_lines(stats: Mapping[str, Any]) -> Iterator[str]:
    yield "# Since the last reset of the server's counters"
    short = derived(stats)
    for label, name, form, unit in _DERIVED:
        value = short[name]
        shown = _UNKNOWN if value is None else f"{value:{form}}{unit}"
        yield f"{label + ':':<19} {shown}"


def _request_time(file: Path) -> dict[str, float] | None:
    """Return where the time of a result's requests went; ConfigError if it cannot be read."""
    try:
        result = json.loads(file.read_bytes())
        if "Repeats" in result:
            raise ConfigError(
                f"--result {file}: it is a summary of repeated runs: name one of them"
            )
        quantiles = result.get("ServiceQuantiles") or result["OverallQuantiles"]
        latencies = LatencyHistogram.decode(quantiles["EncodedHistogram"])
        return request_time(
            (result.get("ServerPeriods") or result["ServerRunTimeStats"])["overall"],
            result["Requests"],
            latencies.mean_ms,
            result["ClientCpuSeconds"],
        )
    except OSError as error:
        raise ConfigError(f"cannot read --result {file}: {error.strerror}") from error
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"cannot read --result {file}: it is not a result of `aibench-fast run`"
        ) from error


def _request_lines(file: Path, request: Mapping[str, float] | None) -> Iterator[str]:
    yield ""
    yield f"# Where the time of a mean request went, in {file}"
    if request is None:
        yield _UNKNOWN
        return
    total_ms = sum(request.values())
    for name, value_ms in request.items():
        label = f"{name.removesuffix('_ms').replace('_', ' ')}:"
        yield f"{label:<19} {value_ms:9.3f} ms  {value_ms / total_ms:6.1%}"
