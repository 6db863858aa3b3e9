"""`aibench-fast serve`: the embedded server in the foreground."""

import argparse
import signal
from pathlib import Path
from types import FrameType

from aibench_fast.cli.options import add_command
from aibench_fast.control import call, connect
from aibench_fast.errors import ServerError
from aibench_fast.server import EmbeddedServer


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "serve",
        summary="Run the embedded server until it is interrupted.",
        example="aibench-fast serve --port 6379",
    )
    parser.add_argument(
        "--port", type=int, default=6379, help="port on 127.0.0.1; 0 picks one (default: 6379)"
    )
    parser.add_argument("--socket", type=Path, metavar="PATH", help="also listen on a unix socket")
    parser.add_argument(
        "--threads-per-queue", type=int, default=1, metavar="N",
        help="inferences that run at a time (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--engine-threads", type=int, default=0, metavar="N",
        help="threads that the engine shares among them (default: every core)",
    )  # fmt: skip
    parser.add_argument(
        "--valkey", type=Path, metavar="PATH",
        help="the server program, Valkey or Redis 7 (default: the installed one)",
    )  # fmt: skip
    parser.set_defaults(handler=serve)


class _StopRequested(Exception):
    """A signal asked the command to stop."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise _StopRequested


def serve(options: argparse.Namespace) -> int:
    """Run the server until SIGINT or SIGTERM; exit code 0. ServerError where it ends by itself."""
    server = EmbeddedServer(
        port=options.port,
        socket=options.socket,
        threads_per_queue=options.threads_per_queue,
        engine_threads=options.engine_threads,
        valkey=options.valkey,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        with server:
            print(_ready_line(server), flush=True)
            code = server.wait()
    except _StopRequested:
        return 0
    raise ServerError(f"the server ended by itself with code {code}; start it again")


def _ready_line(server: EmbeddedServer) -> str:
    with connect(server.address) as client:
        info = call(client, server.address, "INFO")
    kind = "valkey" if "valkey_version" in info else "redis"
    where = f"{server.host}:{server.port}" + (f" and {server.socket}" if server.socket else "")
    return (
        f"aibench-fast {info['ai_embedded_version']} embedded server on {where}, "
        f"pid {server.pid}, {kind} {info[f'{kind}_version']}"
    )
