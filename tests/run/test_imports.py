"""The directions of imports: which package may use which, and what needs no native core."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aibench_fast.cli import build_parser
from aibench_fast.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "aibench_fast"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
SHARED = {"cluster", "coretypes", "errors", "files", "fetch", "tensortype", "units"}
"""What every package may use; these use each other alone."""
MAY_USE = {
    package: set(re.findall(r"`(\w+)`", uses))
    for package, uses in re.findall(
        r"^\| `(\w+)` \| .* \| ?(.*?) ?\|$", ARCHITECTURE.read_text(), flags=re.MULTILINE
    )
}
"""By the table of packages."""


def _package(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(path.suffix)


def _imports(path: Path) -> Iterator[str]:
    """The packages of our own that a module imports, wherever in it."""
    if path.suffix == ".pyx":  # no Python; imports stand at its top, one a line
        lines = path.read_text().splitlines()
        tree = ast.parse("\n".join(line for line in lines if line.startswith("from aibench_fast")))
    else:
        tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{name.name}" for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"aibench_fast.{_package(path)}"]
        else:
            continue
        for name in names:
            package, *below = name.split(".")
            # `aibench_fast.__version__` is a name of the package itself.
            if package == "aibench_fast" and below and not below[0].startswith("__version"):
                yield below[0]


MODULES = sorted(path for kind in ("py", "pyx") for path in PACKAGE.rglob(f"*.{kind}"))


@pytest.mark.parametrize(
    "module",
    [path for path in MODULES if _package(path) not in ("__init__", "__main__")],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_arrows_between_packages_run_one_way(module: Path) -> None:
    package = _package(module)
    allowed = SHARED if package in SHARED else {package, *SHARED, *MAY_USE[package]}
    assert set(_imports(module)) <= allowed


def test_the_table_names_every_package() -> None:
    packages = {_package(path) for path in MODULES} - {"__init__", "__main__", *SHARED}
    assert set(MAY_USE) == packages
    assert set().union(*MAY_USE.values()) <= packages


def test_no_two_packages_use_each_other() -> None:
    reached = {package: _reached(package) for package in MAY_USE}
    assert [package for package in MAY_USE if package in reached[package]] == []


def _reached(package: str) -> set[str]:
    found: set[str] = set()
    to_see = set(MAY_USE[package])
    while to_see:
        found |= to_see
        to_see = {further for near in to_see for further in MAY_USE[near]} - found
    return found


@pytest.mark.parametrize(
    "module",
    [
        "results.result", "results.files", "results.tables", "results.compare", "results.export",
        "results.histogram", "report.text", "report.html", "report.pictures",
        "tensors.tensorfile", "load.config", "protocols.redisai.commands",
    ],
)  # fmt: skip
def test_reading_a_result_needs_no_native_core(module: str) -> None:
    program = (
        "import sys\n"
        "sys.modules['aibench_fast._core'] = None\n"
        "import aibench_fast\n"
        f"import aibench_fast.{module}\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_names_that_the_package_offers_are_all_there() -> None:
    program = (
        "import aibench_fast\nfor name in aibench_fast.__all__:\n    getattr(aibench_fast, name)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_run_is_a_function_however_it_is_reached() -> None:
    program = (
        "import aibench_fast\n"
        "import aibench_fast.clients.runner\n"
        "from aibench_fast import run\n"
        "assert aibench_fast.run is run is aibench_fast.clients.runner.run\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("word", ["--version", "--help"])
def test_the_program_starts_without_what_its_commands_import(word: str) -> None:
    program = (
        "import sys\n"
        "from aibench_fast.cli import main\n"
        "try:\n"
        f"    main([{word!r}])\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'numpy', 'redis', 'PIL', 'rich', 'hiredis', 'aibench_fast._core'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_help_lists_every_command() -> None:
    modules = {path.stem for path in (PACKAGE / "cli" / "commands").glob("*.py")}
    parser = build_parser()
    assert set(COMMANDS) == {name for name in modules if f"\n    {name} " in parser.format_help()}
