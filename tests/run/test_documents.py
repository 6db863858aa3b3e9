"""README and docs: links lead somewhere, paths exist, and command lines are understood."""

import re
import shlex
from pathlib import Path

import pytest

from aibench_fast.cli import build_parser, main
from aibench_fast.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
]  # fmt: skip
BLOCKS = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.*)$", BLOCKS.sub("", page.read_text()), flags=re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings]
    return {re.sub(r"\s+", "-", heading.strip()) for heading in plain}


def _command_lines() -> list[tuple[str, str]]:
    """Each `aibench-fast` line of a block, with the page it is on."""
    lines = []
    for page in PAGES:
        for language, block in BLOCKS.findall(page.read_text()):
            if language in ("", "sh"):
                joined = block.replace("\\\n", " ").splitlines()
                lines += [(page.name, line.strip()) for line in joined]
    return [(page, line) for page, line in lines if line.startswith("aibench-fast ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    text = BLOCKS.sub("", page.read_text())
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_the_architecture_names_files_that_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`([\w/]+\.(?:pyx|pyi|pxd|py|c|h))`", page))
    files = [f"/{path.relative_to(ROOT)}" for top in ("src", "tests") for path in _files(top)]
    missing = {name for name in named if not any(path.endswith(f"/{name}") for path in files)}
    assert len(named) > 20
    assert {name for name in missing if "NAME" not in name} == set()


@pytest.mark.parametrize(("page", "line"), _command_lines())
def test_command_lines_are_understood(page: str, line: str) -> None:
    words = shlex.split(line.removesuffix("&"), comments=True)
    if "..." not in words:
        build_parser().parse_args(words[1:])


@pytest.mark.parametrize("command", COMMANDS)
def test_options_that_pages_name_with_a_command_exist(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named = {
        option
        for page in PAGES
        for span in re.findall(rf"`(?:aibench-fast )?{command} ([^`]*)`", page.read_text())
        for option in re.findall(r"--[a-z][a-z-]*", span)
    }
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert named <= set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))


def _files(top: str) -> list[Path]:
    return [path for path in (ROOT / top).rglob("*.*") if path.is_file()]
