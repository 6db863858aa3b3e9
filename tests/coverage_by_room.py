"""Which share of each room's lines the suite ran; less than LEAST in any but `cli` is a failure.

usage: python tests/coverage_by_room.py, after pytest has run with --cov
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
    """Print a line a room; return the exit code."""
    coverage = Coverage()
    coverage.load()
    lines: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for path in sorted(set(PACKAGE.rglob("*.py")) - set(UNSEEN.iterdir())):
        _, statements, _, missing, _ = coverage.analysis2(str(path))
        place = path.relative_to(PACKAGE).parts
        room = place[0] if len(place) > 1 else "shared"
        lines[room] += len(statements)
        missed[room] += len(missing)
    short = []
    for room in sorted(lines):
        share = 1 - missed[room] / lines[room] if lines[room] else 1.0
        print(f"coverage of {room:10} {share:6.1%} of {lines[room]} lines")
        if share < LEAST and room not in ELSEWHERE:
            short.append(room)
    if short:
        print(f"less than {LEAST:.0%} of the lines of {', '.join(short)} ran", file=sys.stderr)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
