"""Runs embedded servers with a sanitized module, where AIBENCH_SANITIZED_MODULE names one."""

import os
import subprocess
from pathlib import Path

from aibench_fast.server import embedded, parts

MODULE_VARIABLE = "AIBENCH_SANITIZED_MODULE"

# What others leave allocated at the end is theirs.
SUPPRESSIONS = "leak:libopenvino\nleak:libtbb\n"

OPTIONS = {
    # without_deepbind.so has to come before the sanitizer's runtime.
    "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=1:log_path={folder}/report",
    "UBSAN_OPTIONS": "print_stacktrace=1:log_path={folder}/report",
    "LSAN_OPTIONS": "suppressions={folder}/suppressions:print_suppressions=0",
}


def use_sanitized_module() -> None:
    """Make every EmbeddedServer of this process load the module; without it, do nothing."""
    given = os.environ.get(MODULE_VARIABLE)
    if not given:
        return
    module = Path(given)
    folder = module.parent
    (folder / "suppressions").write_text(SUPPRESSIONS)
    options = " ".join(f"{k}='{v.format(folder=folder)}'" for k, v in OPTIONS.items())
    program = folder / "sanitized-server"
    preloaded = [
        str(folder / "without_deepbind.so"), library("libasan.so"), library("libstdc++.so.6"),
    ]  # fmt: skip
    program.write_text(
        f"#!/bin/sh\nLD_PRELOAD='{' '.join(preloaded)}' {options} "
        f'exec {parts.server_program(None)} "$@"\n'
    )
    program.chmod(0o755)
    parts.MODULE = module
    find = embedded.server_program
    embedded.server_program = lambda given: find(given) if given else find(None) and program


def sanitized() -> bool:
    """Whether embedded servers run with a sanitized module."""
    return MODULE_VARIABLE in os.environ


def library(name: str) -> str:
    found = subprocess.run(
        ["cc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    )
    return str(Path(found.stdout.strip()).resolve())
