"""Feeds one target with bytes that reach more and more of its lines, by libFuzzer.

usage: libfuzzer.py TARGET [an option of libFuzzer, or a folder of inputs]...
"""

import sys

import atheris

with atheris.instrument_imports(include=["aibench_fast"]):
    import inputs

name = sys.argv.pop(1)
atheris.Setup(sys.argv, inputs.TARGETS[name].read)
atheris.Fuzz()
