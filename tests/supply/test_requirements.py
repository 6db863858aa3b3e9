"""requirements.txt, which `make audit` asks about, is of what the package asks for."""

import os
import re
import tomllib
from pathlib import Path

import pytest
from commandline import completed
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def test_every_package_of_a_users_is_pinned_at_a_version_that_is_allowed() -> None:
    pinned = dict(
        line.split("==") for line in (ROOT / "requirements.txt").read_text().split() if "==" in line
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = project["dependencies"] + [one for packages in extras.values() for one in packages]
    for one in map(Requirement, asked):
        assert one.specifier.contains(pinned[one.name.lower()]), f"{one}: make the list again"


@pytest.mark.parametrize(
    ("program", "exit_code", "said"),
    [
        ("exit 0", 0, "no known vulnerability"),
        ('for last; do :; done; echo "name 1.0 CVE-1" > "$last"; exit 1', 1, "CVE-1"),
        ("echo 'Traceback' >&2; echo 'no route' >&2; exit 1", 0, "nothing was audited.*no route"),
    ],
)
def test_an_audit_fails_on_what_it_found_alone(
    tmp_path: Path, program: str, exit_code: int, said: str
) -> None:
    fake = tmp_path / "pip-audit"
    fake.write_text(f"#!/bin/sh\nshift\n{program}\n")
    fake.chmod(0o755)
    done = completed(
        ROOT / ".ci" / "audit", fake, "requirements.txt", code=exit_code,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert re.search(said, done.stdout)
    assert [*tmp_path.iterdir()] == [fake]
