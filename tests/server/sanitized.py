"""Runs embedded servers with a sanitized module, where AIBENCH_SANITIZED_MODULE names one."""

import os
import subprocess
from pathlib import Path

from aibench_fast.server import embedded

MODULE_VARIABLE = "AIBENCH_SANITIZED_MODULE"

# The server program has no frame pointers: without the slow unwinder a leak's report would not get
# from its allocator to our module, four frames up at most.
WITH_LEAKS = "detect_leaks=1:fast_unwind_on_malloc=0:malloc_context_size=4"
WITHOUT_LEAKS = "detect_leaks=0"


def use_sanitized_module(*, leaks: bool = True) -> None:
    """Make every EmbeddedServer of this process load the module; without it, do nothing.

    Looking for leaks makes every allocation slow.
    """
    given = os.environ.get(MODULE_VARIABLE)
    if not given:
        return
    module = Path(given)
    folder = module.parent
    # without_deepbind.so has to come before the sanitizer's runtime.
    options = f"verify_asan_link_order=0:log_path={folder}/report"
    options = f"{options}:{WITH_LEAKS if leaks else WITHOUT_LEAKS}"
    program = folder / "sanitized-server"
    preloaded = [
        str(folder / "without_deepbind.so"), library("libasan.so"), library("libstdc++.so.6"),
    ]  # fmt: skip
    program.write_text(
        f"#!/bin/sh\nLD_PRELOAD='{' '.join(preloaded)}' ASAN_OPTIONS='{options}' "
        f"UBSAN_OPTIONS='print_stacktrace=1:log_path={folder}/report' "
        f'exec {embedded.server_program(None)} "$@"\n'
    )
    program.chmod(0o755)
    embedded.MODULE = module
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
