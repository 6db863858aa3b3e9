"""Fuzzers for the native core's reply judges: build, run for a time, replay findings."""

import argparse
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.perf import programs
from vendored_sources import Sources, find_sources

HERE = Path(__file__).parent
FINDINGS = HERE / "findings"


class Target(NamedTuple):
    """The parts of a fuzzer."""

    natives: Sequence[str]
    """The native files that judging needs, without one that the target includes."""
    shared: Sequence[str] = ()
    """The files that it shares with another."""


_OUTPUTS = ("replycheck", "oip", "stringdata", "tensordata")
_GRPC = [*_OUTPUTS, "failures", "grpcstatus", "http2", "mempool", "oipmessage", "wire"]
TARGETS = {
    "resp": Target(["replycheck", "stringdata"]),
    "http": Target([*_OUTPUTS, "httphead", "jsonvalues", "failures"]),
    "tokens": Target(["replycheck", "failures", "httphead", "tokenevent"]),
    "grpc": Target(_GRPC, ["frames", "response"]),
    "inferences": Target([*_GRPC, "grpc"], ["frames", "response"]),
    "message": Target([*_OUTPUTS, "oipmessage", "wire"], ["response"]),
}
SPARE_S = 60


class Fuzzed(NamedTuple):
    """The counts of a fuzzer."""

    inputs: int
    successes: int
    """Requests that ended well."""
    failures: int


def build(target: str, folder: Path, libraries: Sources) -> Path:
    """Compile a fuzzer with sanitizers; return the program."""
    made = TARGETS[target]
    sources = [HERE / "fuzz" / f"{name}.c" for name in (target, *made.shared, "fuzz", "main")]
    sources += [programs.NATIVE / f"{name}.c" for name in made.natives]
    return programs.compile_c(
        folder / f"fuzz-{target}", *sources, libraries=libraries,
        **programs.sanitized("address,undefined"),
    )  # fmt: skip


def fuzz(program: Path, seconds: float, seed: int, findings: Path) -> Fuzzed:
    """Fuzz for a time; RuntimeError with the finding and its file if there is one."""
    return _run([program, "fuzz", seconds, seed, findings], seconds)


def replay(program: Path, findings: Sequence[Path]) -> Fuzzed:
    """Judge earlier findings; RuntimeError if one fails again."""
    return _run([program, "replay", *findings], 0)


def _run(command: Sequence[object], seconds: float) -> Fuzzed:
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False,
        timeout=seconds + SPARE_S,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Fuzzed(*map(int, done.stdout.split()))


def main() -> int:
    """Run each fuzzer for the given time."""
    parser = argparse.ArgumentParser(description="Feed the native judges bytes made from a seed.")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each (default: 60)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="aibench-fuzz-") as name:
        libraries = find_sources(Path(name))
        for target in TARGETS:
            program = build(target, Path(name), libraries)
            try:
                done = fuzz(program, options.seconds, options.seed, FINDINGS / target)
            except RuntimeError as error:
                print(f"fuzz: {target}, seed {options.seed}: {error}", file=sys.stderr)
                failed = 1
            else:
                print(f"{target}: {done.inputs} inputs, seed {options.seed}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
