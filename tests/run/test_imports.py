"""What a module may import: an old result is read where the native core was never built."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "result", "results", "tables", "compare", "export", "report.text", "report.html",
        "report.pictures", "histogram", "tensorfile", "config", "commands",
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


def test_run_is_a_function_however_it_is_reached() -> None:
    program = (
        "import aibench_fast\n"
        "import aibench_fast.runner\n"
        "from aibench_fast import run\n"
        "assert aibench_fast.run is run is aibench_fast.runner.run\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
