"""Print the coverage of each package; fail if one other than `cli` is below LEAST.

usage: python tests/coverage_by_package.py, after pytest has run with --cov
"""

import sys
from collections import Counter
from pathlib import Path

from coverage import Coverage

PACKAGE = Path(__file__).parents[1] / "src" / "aibench_fast"
LEAST = 0.90
ELSEWHERE = {"cli"}  # which is tested by what it prints
UNSEEN = PACKAGE / "server" / "tritonmodels"  # of which copies run in Triton's own interpreter


def main() -> int:
    """Print one line per package; return the exit code."""
    coverage = Coverage()
    coverage.load()
    lines: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for path in sorted(set(PACKAGE.rglob("*.py")) - set(UNSEEN.iterdir())):
        _, statements, _, missing, _ = coverage.analysis2(str(path))
        place = path.relative_to(PACKAGE).parts
        package = place[0] if len(place) > 1 else "shared"
        lines[package] += len(statements)
        missed[package] += len(missing)
    short = []
    for package in sorted(lines):
        share = 1 - missed[package] / lines[package] if lines[package] else 1.0
        print(f"coverage of {package:10} {share:6.1%} of {lines[package]} lines")
        if share < LEAST and package not in ELSEWHERE:
            short.append(package)
    if short:
        print(f"less than {LEAST:.0%} of the lines of {', '.join(short)} ran", file=sys.stderr)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
