"""Each command as a process of its own; other tests call the commands within theirs."""

import pytest
from commandline import Cli

from aibench_fast.cli.commands import COMMANDS

REFUSED = {
    "fetch": ("fetch model file:///none --sha256 0 --out none", "file:///none"),
    "prepare": ("prepare --quiet --input none --output t.out", "--input none"),
    "show": ("show none.out", "none.out: there is no such file"),
    "serve": ("serve --dir none --port 0", "--dir none"),
    "model": ("model write --format pb --out /proc/none/m.pb", "/proc/none/m.pb"),
    "run": ("run --file none.out", "none.out: there is no such file"),
    "sweep": ("sweep --grid none.toml --file none.out", "--grid none.toml"),
    "search": ("search --file none.out --slo p99<=5ms", "none.out: there is no such file"),
    "recover": ("recover none.journal", "cannot read none.journal"),
    "stats": ("stats --model m --host none --port 0", "--port 0"),
    "selfcheck": ("selfcheck --shape 0", "--shape 0"),
    "tables": ("tables --dir none", "there is no file or folder none"),
    "compare": ("compare none none", "there is no file or folder none"),
    "report": ("report none --out r.html", "there is no file or folder none"),
    "export": ("export none --format csv", "there is no file or folder none"),
}


def test_every_command_is_here() -> None:
    assert REFUSED.keys() == COMMANDS.keys()


@pytest.mark.parametrize(("words", "message"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_one_line_and_exit_code_2(process: Cli, words: str, message: str) -> None:
    done = process(*words.split())
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("aibench-fast: ")
    assert message in done.stderr
