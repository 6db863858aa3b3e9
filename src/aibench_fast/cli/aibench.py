"""`aibench_run_inference_redisai_vision`: a drop-in for aibench's own program, with its flags.

Flags of all its versions are accepted and passed to `aibench-fast run`. Flags without a meaning
here are reported as having no effect.
"""

import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from aibench_fast import __version__
from aibench_fast.cli import build_parser
from aibench_fast.cli.ending import EXIT_INTERRUPTED, end_in_order, leave
from aibench_fast.cli.output import note, open_streams
from aibench_fast.errors import AibenchError, ConfigError
from aibench_fast.files import unwritable

PROGRAM = "aibench_run_inference_redisai_vision"
COPY_BYTES = 1 << 20
_FLAG = re.compile(r"--?([^-=][^=]*)(?:=(.*))?", re.DOTALL)
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}

# Defaults of the Go program, in Go's notation.
_SAME: dict[str, str | bool] = {
    "model": "mobilenet_v1_100_224_cpu",
    "workers": "8",
    "batch-size": "1",
    "max-queries": "0",
    "limit-rps": "0",
    "seed": "0",
    "reporting-period": "1s",
    "dial-read-timeout": "90s",
    "metadata-autobatching": "-1",
    "use-dag": False,
    "persist-results": False,
    "print-responses": False,
    "continue-on-error": True,
}
_OTHERWISE: dict[str, str | bool] = {
    "cluster-mode": False,
    "host": "localhost",
    "port": "6379",
    "file": "",
    "burn-in": "0",
    "json-out-file": "",
    "output-file-stats-hdr-response-latency-hist": "stats-response-latency-hist.txt",
    "v": False,
    "h": False,
    "help": False,
}
_WITHOUT_EFFECT: dict[str, str | bool] = {
    "debug": "0",
    "ignore-errors": False,
    "pool-pipeline-window": "500µs",
    "pool-pipeline-concurrency": "0",
    "memprofile": "",
    "cpuprofile": "",
    "print-interval": "0",
    "prewarm-queries": False,
    "repetitions": "1",
    "enable-reference-data": False,
    "enable-reference-data-redis": False,
    "enable-reference-data-mysql": False,
}
_HELP = f"""\
usage of {PROGRAM}, provided by aibench-fast:
write flags as -name=value or -name value; without -file, tensors are read from standard input
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run one benchmark with aibench's flags; return the exit code of `aibench-fast run`.

    Without `words` it reads sys.argv and exits, as `aibench_fast.cli.main`.
    """
    open_streams()
    end_in_order()
    code = _run(sys.argv[1:] if words is None else list(words))
    if words is None:
        leave(code)
    return code


def _run(typed: list[str]) -> int:
    try:
        flags = parse_flags(typed, {**_SAME, **_OTHERWISE, **_WITHOUT_EFFECT})
        if flags["h"] or flags["help"]:
            print(_HELP + _flag_list(), end="")
            return 0
        if flags["v"]:
            print(f"{PROGRAM} (aibench-fast {__version__})")
            return 0
        for name, usual in _WITHOUT_EFFECT.items():
            if flags[name] not in (usual, "", "0"):
                print(f"{PROGRAM}: -{name}={flags[name]} has no effect here", file=sys.stderr)
        with _tensor_file(str(flags["file"])) as file:
            options = build_parser(["run"]).parse_args(["run", *_run_options(flags, file)])
            options.command_line = shlex.join([PROGRAM, *typed])
            return int(options.handler(options))
    except AibenchError as error:
        note(str(error), PROGRAM)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def parse_flags(words: Sequence[str], defaults: Mapping[str, str | bool]) -> dict[str, str | bool]:
    """Return the value of every flag: the last one given, or its default.

    Flags are those of Go's package: -name=value, -name value or --name=value. One whose default is
    a bool takes a value only after `=`, others also as the next word. ConfigError for an unknown
    flag, a missing or bad value, or a word that is not a flag.
    """
    values = dict(defaults)
    rest = iter(words)
    for word in rest:
        match = _FLAG.fullmatch(word)
        if match is None:
            raise ConfigError(f"{word!r} is not a flag; write -name=value or -name value")
        name, value = match.groups()
        if name not in defaults:
            raise ConfigError(f"flag provided but not defined: -{name}; see -help")
        if isinstance(defaults[name], bool):
            word = "true" if value is None else value
            if word not in _BOOLEANS:
                raise ConfigError(f"-{name}={word}: a boolean is true or false")
            values[name] = _BOOLEANS[word]
            continue
        if value is None:
            value = next(rest, None)
        if value is None:
            raise ConfigError(f"flag needs an argument: -{name}")
        values[name] = value
    return values


def _flag_list() -> str:
    known = {**_SAME, **_OTHERWISE}
    return "".join(f"  -{name} (default {value})\n" for name, value in sorted(known.items())) + (
        f"without effect: {', '.join(f'-{name}' for name in sorted(_WITHOUT_EFFECT))}\n"
    )


def _run_options(flags: Mapping[str, str | bool], file: Path) -> list[str]:
    """Return the flags as options of `aibench-fast run`."""
    options = [f"--file={file}"]
    for name in _SAME:
        value = flags[name]
        options.append(f"--{name}={str(value).lower() if isinstance(value, bool) else value}")
    if flags["cluster-mode"]:
        options.append("--cluster-mode")
    for name in ("json-out-file", "output-file-stats-hdr-response-latency-hist"):
        if flags[name]:
            options.append(f"--{name}={flags[name]}")
    if flags["reporting-period"] in ("0", "0s"):  # print no lines, in Go's program
        options.remove(f"--reporting-period={flags['reporting-period']}")
        options.append("--quiet")
    return [*options, f"--host={_hosts(flags)}", f"--burn-in={_burn_in_requests(flags)}"]


def _hosts(flags: Mapping[str, str | bool]) -> str:
    """Return hosts with their ports; aibench has a list of each."""
    hosts, ports = str(flags["host"]).split(","), str(flags["port"]).split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if len(hosts) != len(ports):
        raise ConfigError(
            f"-host has {len(hosts)} hosts and -port {len(ports)} ports: give one port, or as many"
        )
    return ",".join(f"{host}:{port}" for host, port in zip(hosts, ports, strict=True))


def _burn_in_requests(flags: Mapping[str, str | bool]) -> int:
    """Return the warm-up in requests; aibench counts images."""
    try:
        images, batch = int(flags["burn-in"]), int(flags["batch-size"])
    except ValueError as error:
        raise ConfigError(f"-burn-in and -batch-size have to be whole numbers: {error}") from error
    return -(-images // max(batch, 1))


@contextmanager
def _tensor_file(file: str) -> Iterator[Path]:
    """Yield the tensor file, or a temporary copy of standard input."""
    if file:
        yield Path(file)
        return
    if sys.stdin.isatty():
        raise ConfigError(
            "no -file, and standard input is a terminal: give -file, or pipe tensors in"
        )
    with tempfile.TemporaryDirectory(prefix="aibench-") as folder:
        spool = Path(folder) / "standard-input"
        try:
            with spool.open("wb") as copy:
                shutil.copyfileobj(sys.stdin.buffer, copy, COPY_BYTES)
        except OSError as error:
            raise unwritable(spool, error) from error
        try:
            yield spool
        except ConfigError as error:
            raise ConfigError(str(error).replace(str(spool), "standard input")) from error
