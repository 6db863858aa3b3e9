"""Write requirements.txt: every package of an installation with all extras, with its version.

`make audit` reads it; installations use pyproject.toml.
usage: lock-requirements.py
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAD = "# Made by .ci/lock-requirements.py for `make audit`.\n"


def main() -> None:
    """Write the versions that pip chooses."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for packages in project["optional-dependencies"].values():
        wanted += packages
    report = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed",
         "--report", "-", *wanted],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    chosen = [one["metadata"] for one in json.loads(report.stdout)["install"]]
    lines = sorted(f"{one['name'].lower()}=={one['version']}\n" for one in chosen)
    (ROOT / "requirements.txt").write_text(HEAD + "".join(lines))


if __name__ == "__main__":
    main()
