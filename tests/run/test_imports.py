"""The directions of imports: which package may use which, and what needs no native core."""

import ast
import fnmatch
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from aibench_fast.cli import build_parser
from aibench_fast.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "aibench_fast"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
SHARED = {"cluster", "coretypes", "errors", "files", "fetch", "tensortype", "units"}
"""The packages that every other may use; these use each other alone."""
MAY_USE = {
    package: set(re.findall(r"`(\w+)`", uses))
    for package, uses in re.findall(
        r"^\| `(\w+)` \| .* \| ?(.*?) ?\|$", ARCHITECTURE.read_text(), flags=re.MULTILINE
    )
}
"""By the table of packages."""


def _package(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(path.suffix)


def _imports(path: Path, package: Path = PACKAGE) -> Iterator[str]:
    """The names of our own that a module imports, wherever in it, and however.

    A name in a string counts where it is whole, as of `import_module`; what an f-string leaves open
    is `*`.
    """
    if path.suffix == ".pyx":  # no Python; imports stand at its top, one a line
        lines = path.read_text().splitlines()
        tree = ast.parse("\n".join(line for line in lines if line.startswith("from aibench_fast")))
    else:
        tree = ast.parse(path.read_text())
    own = _module(path, package)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{_absolute(node, path, own)}.{name.name}" for name in node.names]
        elif isinstance(node, ast.JoinedStr):
            names = ["".join(_shown(part, own) for part in node.values)]
        elif isinstance(node, ast.Constant) and re.fullmatch(r"[\w.]+", str(node.value)):
            names = [str(node.value)]
        else:
            continue
        yield from (name for name in names if name.startswith("aibench_fast."))


def _absolute(node: ast.ImportFrom, path: Path, own: str) -> str:
    """The module that names are imported from."""
    if not node.level:
        return node.module or ""
    above = own.split(".")
    above = above[: len(above) - node.level + (path.stem == "__init__")]
    return ".".join([*above, *([node.module] if node.module else [])])


def _shown(part: ast.expr, own: str) -> str:
    """A part of an f-string, as far as it is known."""
    if isinstance(part, ast.Constant):
        return str(part.value)
    is_own = isinstance(part, ast.FormattedValue) and ast.unparse(part.value) == "__name__"
    return own if is_own else "*"


def _module(path: Path, package: Path) -> str:
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(["aibench_fast", *(part for part in parts if part != "__init__")])


def _graph(package: Path) -> dict[str, set[str]]:
    """Which modules each module imports, but for the package's own `__init__`.

    That one imports what it offers when it is first asked for it, and nothing imports it for that.
    """
    paths = {_module(path, package): path for path in _modules(package)}
    del paths["aibench_fast"]
    return {
        module: {
            found
            for name in _imports(path, package)
            for found in _found(name, paths.keys())
            if found != module
        }
        for module, path in paths.items()
    }


def _found(name: str, modules: Collection[str]) -> list[str]:
    """The modules that a name means: one, or what is in one; several where some of it is open."""
    while name and not (found := fnmatch.filter(modules, name)):
        name = name.rpartition(".")[0]
    return found if name else []


def _circle(package: Path) -> list[str]:
    """A circle of modules that import each other; empty where there is none."""
    try:
        TopologicalSorter(_graph(package)).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


def _modules(package: Path) -> list[Path]:
    return sorted(path for kind in ("py", "pyx") for path in package.rglob(f"*.{kind}"))


MODULES = _modules(PACKAGE)


@pytest.mark.parametrize(
    "module",
    [path for path in MODULES if _package(path) not in ("__init__", "__main__")],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_arrows_between_packages_run_one_way(module: Path) -> None:
    package = _package(module)
    allowed = SHARED if package in SHARED else {package, *SHARED, *MAY_USE[package]}
    # `aibench_fast.__version__` is a name of the package itself.
    used = {name.split(".")[1] for name in _imports(module)} - {"__version__"}
    assert used <= allowed


def test_no_modules_import_each_other() -> None:
    assert _circle(PACKAGE) == []


@pytest.mark.parametrize(
    "text",
    [
        "import aibench_fast.room.b",
        "from aibench_fast.room import b",
        "from . import b",
        "from .b import name",
        "def later():\n    from aibench_fast.room.b import name",
        "if TYPE_CHECKING:\n    from aibench_fast.room.b import name",
        "import_module('aibench_fast.room.b')",
        "TABLE = {'name': 'aibench_fast.room.b'}",
        "import_module(f'aibench_fast.room.{name}')",
    ],
)
def test_a_circle_is_seen_however_it_is_closed(tmp_path: Path, text: str) -> None:
    (tmp_path / "room").mkdir()
    for name, content in {
        "__init__": "NAMES = 'aibench_fast.room.a'",
        "room/__init__": "",
        "room/a": text,
        "room/b": "from aibench_fast.room import c",
        "room/c": "",
    }.items():
        (tmp_path / f"{name}.py").write_text(content)
    assert _circle(tmp_path) == []
    (tmp_path / "room" / "c.py").write_text("from aibench_fast.room.a import name")
    assert {"aibench_fast.room.a", "aibench_fast.room.c"} <= set(_circle(tmp_path))


@pytest.mark.parametrize(
    "module", sorted((PACKAGE / "load").glob("*.py")), ids=lambda one: one.stem
)
def test_a_run_knows_no_protocol_by_name(module: Path) -> None:
    protocols = [path.name for path in (PACKAGE / "protocols").iterdir() if path.is_dir()]
    known = re.compile(rf"aibench_fast\.protocols\.({'|'.join(protocols)})\b")
    assert [name for name in _imports(module) if known.match(name)] == []


def test_a_run_over_redisai_does_without_the_memory_of_others() -> None:
    program = (
        "import sys\n"
        "from aibench_fast import RunConfig, run\n"
        "try:\n"
        "    run(RunConfig(file=None, shape=(4,)))\n"
        "except Exception:\n"  # nobody answers
        "    pass\n"
        "assert 'aibench_fast.protocols.redisai.session' in sys.modules\n"
        "assert 'aibench_fast.protocols.openinference.session' not in sys.modules\n"
        "assert 'http.client' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


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
        "results.histogram", "report.text", "report.output",
        "tensors.tensorfile", "load.config", "protocols.redisai.commands", "coretypes",
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


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (["--version"], {"numpy", "redis", "PIL", "rich", "hiredis", "aibench_fast._core"}),
        (["--help"], {"numpy", "redis", "PIL", "rich", "hiredis", "aibench_fast._core"}),
        *(
            ([command, "--help"], {"numpy", "redis", "PIL", "rich", "distributed"})
            for command in ("run", "sweep", "search")
        ),
    ],
)
def test_the_program_starts_without_what_its_commands_need(
    words: list[str], heavy: set[str]
) -> None:
    program = (
        "import sys\n"
        "from aibench_fast.cli import main\n"
        "try:\n"
        f"    main({words!r})\n"
        "except SystemExit:\n"
        "    pass\n"
        f"imported = {heavy!r} & sys.modules.keys()\n"
        "assert not imported, imported\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_help_lists_every_command() -> None:
    modules = {path.stem for path in (PACKAGE / "cli" / "commands").glob("*.py")}
    parser = build_parser()
    assert set(COMMANDS) == {name for name in modules if f"\n    {name} " in parser.format_help()}
