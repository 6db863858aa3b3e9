"""`aibench-fast serve`: an embedded server in the foreground."""

import argparse
import os
from dataclasses import fields
from typing import TYPE_CHECKING

from aibench_fast import __version__
from aibench_fast.cli.options.parser import add_all, refuse, typed
from aibench_fast.cli.options.secrets import PASSWORD_VARIABLE, read_password
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.files import check_outputs
from aibench_fast.load.config import DEFAULT_MODEL
from aibench_fast.server import EmbeddedServer
from aibench_fast.server.tokenserver import Simulation, TokenServer

if TYPE_CHECKING:
    from aibench_fast.server.triton import TritonServer

PORTS = {"redisai": 6379, "triton": 8000, "tokens": 8000}

EXAMPLE = (
    "aibench-fast serve --port 6379\n"
    "  aibench-fast serve --kind tokens --prefill 80ms --decode 10ms --batch-limit 32"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_all(
        parser,
        {
            "--kind": "start this server; triton has the built-in MobileNet V1 and a model null, "
            "tokens answers OpenAI's API with simulated times (default: redisai)",
            "--port N": "listen on this port of 127.0.0.1, triton on the next one too, for gRPC; 0 "
            "picks free ones (default: 6379, triton and tokens 8000)",
            "--socket PATH": "also listen on a unix socket",
            "--threads-per-queue N": "run N inferences at a time (default: 1)",
            "--engine-threads N": "share N threads of the engine among them (default: every core)",
            "--valkey PATH": "use this server program, Valkey or Redis 7 (default: the installed "
            "one)",
            "--dir DIR": "load the database saved in this folder, and save to it (default: keep "
            "nothing)",
        },
        kind={"choices": PORTS, "default": "redisai"},
        threads_per_queue={"default": 1},
        engine_threads={"default": 0},
    )
    add_all(
        parser.add_argument_group("Tokens", "Of --kind tokens, which computes nothing."),
        {
            "--model NAME": "serve a model of this name (default: simulated)",
            "--prefill TIME": "send the first token this long after a request (default: 50ms)",
            "--prefill-token TIME": "add this for each token of the prompt, which is a word "
            "(default: 100us)",
            "--decode TIME": "send another token each time this has passed (default: 10ms)",
            "--batch-limit N": "answer N requests at a time; others wait (default: no limit)",
            "--output-tokens N": "send N tokens to a request without max_tokens (default: 128)",
            "--reasoning-tokens N": "send the first N tokens of a chat as reasoning (default: 0)",
            "--events-per-write N": "send the events of N tokens in one write, but the first "
            "token's alone (default: 1)",
            "--segments N": "send each write in N pieces (default: 1)",
            "--stall TIME": "freeze for this long at the end of each --stall-period (default: "
            "never)",
            "--stall-period TIME": "see --stall (default: 10s)",
            "--fail HOW=PERCENT": "let this share of requests fail, such as 429=10%% or cut=1%%: "
            "by an HTTP status; an error_event; a cut, which closes the connection; an end of the "
            "reply without a finish_reason; or a hang; can be repeated",
            "--fail-after N": "let streams fail after N tokens; statuses come at once (default: 1)",
            "--retry-after SECONDS": "send this Retry-After with status 429 (default: 1)",
            "--seed S": "let other requests fail (default: 0)",
            "--log FILE": "save the time of each event at the end, in binary (default: do not)",
        },
        fail={
            "type": typed(
                _failure, " is not a failure and its share; write such as 429=10% or cut=1%"
            ),
            "action": "append",
            "dest": "failures",
        },
    )
    add_all(
        parser.add_argument_group("Login"),
        {
            "--require-password": f"require a password, from {PASSWORD_VARIABLE}, --password-file "
            "or a prompt",
            "--password-file FILE": "read the password from the first line of this file",
        },
    )
    parser.set_defaults(handler=serve)


def _failure(words: str) -> tuple[str, float]:
    how, _, percent = words.partition("=")
    return how, float(percent.removesuffix("%")) / 100


def serve(options: argparse.Namespace) -> int:
    """Run the server until SIGINT or SIGTERM, then return 0. ServerError if it exits before."""
    server = _server(options)
    try:
        with server:
            print(_ready_line(server), flush=True)
            code = server.wait()
    except KeyboardInterrupt:
        return 0
    raise ServerError(f"the server exited with code {code}; start it again")


def _server(options: argparse.Namespace) -> "EmbeddedServer | TritonServer | TokenServer":
    port = PORTS[options.kind] if options.port is None else options.port
    if options.kind == "tokens":
        _refuse_redisai(options, "the server of tokens")
        engine = {"--engine-threads": options.engine_threads}
        refuse(engine, "with --kind tokens: it has no engine; leave it out")
        return TokenServer(_simulation(options), port)
    settings = {
        f"`{one.name}`": getattr(options, one.name) is not None for one in fields(Simulation)
    }
    refuse(settings, "without --kind tokens: other servers do not have it")
    if options.kind == "triton":
        from aibench_fast.studies.servers import triton_server

        _refuse_redisai(options, "Triton")
        return triton_server(DEFAULT_MODEL, port=port, engine_threads=options.engine_threads)
    return EmbeddedServer(
        port=port,
        socket=options.socket,
        threads_per_queue=options.threads_per_queue,
        engine_threads=options.engine_threads,
        valkey=options.valkey,
        password=_password(options),
        data_dir=options.dir,
    )


def _simulation(options: argparse.Namespace) -> Simulation:
    """Return what the options say; ConfigError if that cannot be."""
    check_outputs([("--log", options.log)])
    given = {one.name: getattr(options, one.name) for one in fields(Simulation)}
    given["failures"] = options.failures and dict(options.failures)
    return Simulation(**{name: value for name, value in given.items() if value is not None})


def _refuse_redisai(options: argparse.Namespace, server: str) -> None:
    given = {
        "--socket": options.socket,
        "--threads-per-queue": options.threads_per_queue != 1,
        "--valkey": options.valkey,
        "--dir": options.dir,
        "--require-password": options.require_password,
    }
    refuse(given, f"with --kind {options.kind}: {server} does not have it; leave it out")


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
