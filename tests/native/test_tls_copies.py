"""TLS takes tensors from where they lie: no copy of one is made but OpenSSL's own.

Counted in instructions, which no noise of the machine moves. The least that a copy takes is a load
and a store for each 64 bytes.
"""

from collections.abc import Callable
from pathlib import Path

from certificates import Authority, Certificate
from commandline import completed
from fake_redisai import FakeRedisAI

from benchmarks.perf import callgrind, programs
from vendored_sources import Sources

TENSOR_BYTES = 37 << 14
"""Whole records of TLS: pieces of one are put together."""
REQUESTS = 8
COPY_BYTES_AN_INSTRUCTION = 32
GENERATED = "-"


def instructions(driver: Path, server: FakeRedisAI, authority: Authority, profile: Path) -> float:
    """Of the I/O thread in our code and in the copying that this asks for, a request."""
    without_end, without_rate, pipeline, kinds = 0, 0, 1, 1
    words = (
        server.port, 1, 1, REQUESTS, GENERATED, without_end, without_rate, pipeline, kinds, "resp",
        authority.file,
    )  # fmt: skip
    done = completed(
        "valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", "--compress-pos=no",
        "--compress-strings=no", callgrind.IO_THREADS_ALONE, driver, *words,
    )  # fmt: skip
    assert done.stdout.split()[:2] == [str(REQUESTS), str(REQUESTS - 1)]
    ours = others = 0
    is_ours, called, is_call = False, "", False
    for line in profile.read_text().splitlines():
        name, is_named, value = line.partition("=")
        if is_named and name == "ob":
            is_ours = value == str(driver)
        elif is_named and name == "cfn":
            called = value.lstrip("_")
        elif is_named and name == "calls":
            is_call = True  # whose cost, with that of all that it calls, is in the next line
        elif line[:1].isdigit():
            cost = int(line.split()[1])
            if is_ours and (not is_call or called.startswith(("memcpy", "memmove"))):
                ours += cost
            elif not is_ours and not is_call:
                others += cost
            is_call = False
    assert others > ours > 0
    return ours / REQUESTS


def test_no_copy_of_a_tensor_is_made_outside_openssl(
    libraries: Sources,
    tmp_path: Path,
    system_program: Callable[[str, str], Path],
    authority: Authority,
    certificate: Certificate,
) -> None:
    system_program("valgrind", "valgrind")
    driver = programs.compile_driver(
        tmp_path / "driver", libraries, tls=True, defines=callgrind.counted(TENSOR_BYTES)
    )  # fmt: skip
    server = FakeRedisAI()
    server.tls = certificate.for_server
    with server:
        counted = instructions(driver, server, authority, tmp_path / "callgrind.out")
    assert counted < TENSOR_BYTES / COPY_BYTES_AN_INSTRUCTION
