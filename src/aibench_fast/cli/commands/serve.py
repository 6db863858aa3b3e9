"""`aibench-fast serve`: an embedded server in the foreground."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aibench_fast import __version__
from aibench_fast.cli.options.secrets import PASSWORD_VARIABLE, read_password
from aibench_fast.cli.options.values import seconds
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.files import check_outputs
from aibench_fast.load.config import DEFAULT_MODEL
from aibench_fast.server import EmbeddedServer
from aibench_fast.server.tokenserver import Simulation, TokenServer

if TYPE_CHECKING:
    from aibench_fast.server.triton import TritonServer

DEFAULT_PORT = 6379
DEFAULT_HTTP_PORT = 8000
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


EXAMPLE = (
    "aibench-fast serve --port 6379\n"
    "  aibench-fast serve --kind tokens --prefill 80ms --decode 10ms --batch-limit 32"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--kind", choices=("redisai", "triton", "tokens"), default="redisai",
        help="start this server; triton has the built-in MobileNet V1 and a model null, tokens "
        "answers OpenAI's API with simulated times (default: redisai)",
    )  # fmt: skip
    parser.add_argument(
        "--port", type=int, metavar="N",
        help="listen on this port of 127.0.0.1, triton on the next one too, for gRPC; 0 picks free "
        "ones (default: 6379, triton and tokens 8000)",
    )  # fmt: skip
    parser.add_argument("--socket", type=Path, metavar="PATH", help="also listen on a unix socket")
    parser.add_argument(
        "--threads-per-queue", type=int, default=1, metavar="N",
        help="run N inferences at a time (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--engine-threads", type=int, default=0, metavar="N",
        help="share N threads of the engine among them (default: every core)",
    )  # fmt: skip
    parser.add_argument(
        "--valkey", type=Path, metavar="PATH",
        help="use this server program, Valkey or Redis 7 (default: the installed one)",
    )  # fmt: skip
    parser.add_argument(
        "--dir", type=Path, metavar="DIR",
        help="load the database saved in this folder, and save to it (default: keep nothing)",
    )  # fmt: skip
    _add_token_options(parser)
    login = parser.add_argument_group("Login")
    login.add_argument(
        "--require-password", action="store_true",
        help=f"require a password, from {PASSWORD_VARIABLE}, "
        "--password-file or a prompt",
    )  # fmt: skip
    login.add_argument(
        "--password-file", type=Path, metavar="FILE",
        help="read the password from the first line of this file",
    )  # fmt: skip
    parser.set_defaults(handler=serve)


def _add_token_options(parser: argparse.ArgumentParser) -> None:
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


def _given_token_options(options: argparse.Namespace) -> list[str]:
    """Return which of the options were given."""
    return [name for name, field in _OPTIONS.items() if getattr(options, field) is not None]


def _simulation(options: argparse.Namespace) -> Simulation:
    """Return what the options say; ConfigError if that cannot be."""
    check_outputs([("--log", options.log)])
    fields = _OPTIONS.values()
    given = {field: getattr(options, field) for field in fields}
    given["failures"] = None if options.failures is None else dict(options.failures)
    return Simulation(**{field: value for field, value in given.items() if value is not None})


def serve(options: argparse.Namespace) -> int:
    """Run the server until SIGINT or SIGTERM, then return 0. ServerError if it exits before."""
    if options.kind != "tokens" and (given := _given_token_options(options)):
        raise ConfigError(f"{given[0]} without --kind tokens: other servers do not have it")
    server = _server(options)
    try:
        with server:
            print(_ready_line(server), flush=True)
            code = server.wait()
    except KeyboardInterrupt:
        return 0
    raise ServerError(f"the server exited with code {code}; start it again")


def _server(options: argparse.Namespace) -> "EmbeddedServer | TritonServer | TokenServer":
    if options.kind == "triton":
        return _triton(options)
    return _tokens(options) if options.kind == "tokens" else _redisai(options)


def _triton(options: argparse.Namespace) -> "TritonServer":
    from aibench_fast.studies.servers import triton_server

    _refuse_redisai(options, "Triton")
    port = DEFAULT_HTTP_PORT if options.port is None else options.port
    return triton_server(DEFAULT_MODEL, port=port, engine_threads=options.engine_threads)


def _tokens(options: argparse.Namespace) -> TokenServer:
    _refuse_redisai(options, "the server of tokens")
    if options.engine_threads:
        raise ConfigError("--engine-threads with --kind tokens: it has no engine; leave it out")
    port = DEFAULT_HTTP_PORT if options.port is None else options.port
    return TokenServer(_simulation(options), port)


def _refuse_redisai(options: argparse.Namespace, server: str) -> None:
    redisai = {
        "--socket": options.socket,
        "--threads-per-queue": options.threads_per_queue != 1,
        "--valkey": options.valkey,
        "--dir": options.dir,
        "--require-password": options.require_password,
    }
    given = [name for name, is_given in redisai.items() if is_given]
    if given:
        raise ConfigError(
            f"{given[0]} with --kind {options.kind}: {server} does not have it; leave it out"
        )


def _redisai(options: argparse.Namespace) -> EmbeddedServer:
    return EmbeddedServer(
        port=DEFAULT_PORT if options.port is None else options.port,
        socket=options.socket,
        threads_per_queue=options.threads_per_queue,
        engine_threads=options.engine_threads,
        valkey=options.valkey,
        password=_password(options),
        data_dir=options.dir,
    )


def _password(options: argparse.Namespace) -> str | None:
    if not options.require_password:
        if options.password_file:
            raise ConfigError("--password-file needs --require-password: add it")
        return None
    password = read_password(options.password_file, ask=PASSWORD_VARIABLE not in os.environ)
    if not password:
        raise ConfigError("--require-password: the password is empty; give one")
    return password


def _ready_line(server: "EmbeddedServer | TritonServer | TokenServer") -> str:
    if isinstance(server, TokenServer):
        return (
            f"tokens on {server.url} and {server.completions_url}, pid {server.pid}; model "
            f"{server.simulation.model}, {server.simulation}"
        )
    if not isinstance(server, EmbeddedServer):
        where = f"Triton {server.version} on {server.url} and {server.grpc_url}, pid {server.pid}"
        metrics = f"metrics on http://{server.host}:{server.metrics_port}/metrics"
        return f"{where}; serving {', '.join(server.models)}; {metrics}"
    where = f"{server.host}:{server.port}" + (f" and {server.socket}" if server.socket else "")
    return (
        f"aibench-fast {__version__} embedded server on {where}, pid {server.pid}, {server.version}"
    )
