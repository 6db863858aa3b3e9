"""The fuzzers of what reads input, each for a while; what they find is kept in findings/."""

import argparse
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import inputs

HERE = Path(__file__).parent
FINDINGS = HERE / "findings"
SPARE_S = 60
INPUT_BYTES_MAX = 16_384
SLOW_INPUT_S = 10
MEMORY_MAX_MB = 2048


def fuzz(target: str, seconds: int, seed: int, findings: Path) -> int:
    """Return how many inputs were tried; RuntimeError, with what failed, where one did."""
    with tempfile.TemporaryDirectory(prefix="aibench-fuzz-") as name:
        corpus = Path(name)
        for number, data in enumerate(inputs.TARGETS[target].seeds):
            (corpus / str(number)).write_bytes(data)
        done = subprocess.run(
            [sys.executable, HERE / "libfuzzer.py", target, f"-seed={seed}",
             f"-max_total_time={seconds}", f"-max_len={INPUT_BYTES_MAX}",
             f"-timeout={SLOW_INPUT_S}", f"-rss_limit_mb={MEMORY_MAX_MB}",
             f"-artifact_prefix={findings / target}/", "-print_final_stats=1", corpus],
            capture_output=True, text=True, errors="replace", check=False,
            timeout=seconds + SPARE_S,
        )  # fmt: skip
    found = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    if done.returncode or found is None:
        raise RuntimeError(done.stderr[-4000:])
    return int(found[1])


def main() -> int:
    """Run each fuzzer for the time that is asked for."""
    parser = argparse.ArgumentParser(description="Feed readers bytes made from a seed.")
    parser.add_argument("--seconds", type=int, default=60, help="of each (default: 60)")
    parser.add_argument("--seed", type=int, default=random.randrange(1, 1 << 31))
    parser.add_argument("targets", nargs="*", default=[*inputs.TARGETS], metavar="TARGET")
    options = parser.parse_args()
    failed = 0
    for target in options.targets:
        (FINDINGS / target).mkdir(parents=True, exist_ok=True)
        try:
            tried = fuzz(target, options.seconds, options.seed, FINDINGS)
        except RuntimeError as error:
            print(f"fuzz: {target}, seed {options.seed}: {error}", file=sys.stderr)
            failed = 1
        else:
            print(f"{target}: {tried} inputs, seed {options.seed}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
