"""Kills sweeps at random moments and starts them again, until they are done: a program of its own.

It is forked for each sweep, which saves the start of Python; so it has no threads.
Arguments: the server's port, a folder, how many kills, and a seed. Prints JSON: for each sweep the
kills that it took, and whether any result was seen broken or changed after it was there.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from aibench_fast.cli import build_parser, main

SWEEP = (
    "sweep", "--model", "null", "--shape", "16", "--workers", "1,2,3", "--max-queries", "10",
    "--reporting-period", "10ms", "--quiet", "--results-dir",
)  # fmt: skip


def start(port: str, folder: Path) -> int:
    """Start a sweep; return its process."""
    process = os.fork()
    if process == 0:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os._exit(main([*SWEEP, str(folder), "--port", port]))
    return process


def look(folder: Path, seen: dict[str, tuple[int, int]]) -> list[str]:
    """Add the results that are there to `seen`; return what is wrong with them."""
    wrong = []
    for file in folder.glob("JSON_*.json"):
        try:
            json.loads(file.read_bytes())
        except ValueError as error:
            wrong.append(f"{file.name} is broken: {error}")
        stat = file.stat()
        which = (stat.st_ino, stat.st_mtime_ns)
        if seen.setdefault(file.name, which) != which:
            wrong.append(f"{file.name} was made again")
    return wrong


def leave_behind(folder: Path) -> None:
    """Leave what is left by one that is killed as it saves a result, or just after.

    Those moments are too short to be hit by chance.
    """
    for raw in folder.glob("RAW_*.txt"):
        result = folder / f"JSON_{raw.stem.removeprefix('RAW_')}.json"
        if result.exists():
            result.with_name(f"{result.name}.journal").touch()
        else:
            result.with_name(f".{result.name}.1.part").touch()


def kill_one_sweep(port: str, folder: Path, most: int, longest_s: float) -> tuple[int, list[str]]:
    """Kill a sweep up to `most` times, till it ends by itself; return how often, and what broke."""
    seen: dict[str, tuple[int, int]] = {}
    wrong: list[str] = []
    kills = 0
    while True:
        process = start(port, folder)
        if kills < most:
            time.sleep(random.uniform(0, longest_s))
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        wrong += look(folder, seen)
        if os.WIFSIGNALED(status):
            kills += 1
            leave_behind(folder)
            continue
        if code := os.waitstatus_to_exitcode(status):
            wrong.append(f"exit code {code}")
        return kills, wrong


def kill_sweeps(port: str, folder: Path, kills: int, seed: int) -> list[dict[str, object]]:
    """Make sweeps, each in a folder of its own, until so many were killed."""
    random.seed(seed)
    build_parser(["sweep"])  # which imports all that a sweep needs
    began = time.monotonic()
    os.waitpid(start(port, folder / "undisturbed"), 0)
    whole_s = time.monotonic() - began
    told: list[dict[str, object]] = []
    while kills > 0:
        name = f"sweep-{len(told)}"
        took, wrong = kill_one_sweep(port, folder / name, kills, whole_s / 2)
        told.append({"folder": name, "kills": took, "wrong": wrong})
        kills -= took
    return told


if __name__ == "__main__":
    where, count, number = sys.argv[2:]
    print(json.dumps(kill_sweeps(sys.argv[1], Path(where), int(count), int(number))))
