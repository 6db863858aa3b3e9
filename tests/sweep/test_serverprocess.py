"""The resources that a server's processes use; several readers of one server."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from aibench_fast.protocols.serverprocess import ProcessReader
from aibench_fast.protocols.statistics import ServerReading, ServerWatch

BUSY_CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", '''
import time
held = bytearray(64 << 20)
while time.process_time() < 0.5:
    held[:] = bytes(len(held))
print("ready", flush=True)
time.sleep(600)
'''])
child.wait()
"""


def test_children_are_counted_with_their_server_and_its_end_is_told() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY_CHILD], stdout=subprocess.PIPE) as server:
        assert server.stdout.readline() == b"ready\n"
        reader = ProcessReader(server.pid)
        reading = reader.read()
        assert sum(reading.counters.values()) >= 0.5
        assert reading.levels["process_rss_bytes"] >= 64 << 20
        (child,) = _children(server.pid)
        os.kill(int(child), signal.SIGTERM)
        assert server.wait(30) == 0
    ended = reader.read()
    assert (ended.counters, ended.notes) == ({}, (f"no reading: there is no process {server.pid}",))


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


class Told:
    """A reader that returns what it was given, once each."""

    def __init__(self, *counters: dict[str, float]) -> None:
        self._counters = list(counters)

    def read(self) -> ServerReading:
        counters = self._counters.pop(0)
        notes = () if counters else ("nothing came",)
        return ServerReading(time.monotonic(), counters, notes=notes)

    def close(self) -> None:
        pass


def test_a_reader_that_misses_a_reading_is_in_no_period_of_another_length() -> None:
    steady = Told({"calls": 10, "cpu": 1}, {"calls": 20, "cpu": 2}, {"calls": 30, "cpu": 3},
                  {"calls": 40, "cpu": 4})  # fmt: skip
    missing = Told({"cpu": 100, "mem": 5}, {}, {"cpu": 120, "mem": 9}, {"cpu": 130, "mem": 11})
    watch = ServerWatch([steady, missing], "server")
    watch.start()
    for period in (1, 2, 3):
        watch.period_ended(period)
        while str(period) not in watch._periods:
            time.sleep(0.001)
    found = watch.finish(10).periods
    assert found["1"]["calls"] == found["2"]["calls"] == found["3"]["calls"] == 10
    assert ("mem" in found["1"], "mem" in found["2"], found["3"]["mem"]) == (False, False, 2)
    assert found["1"]["notes"] == ["nothing came"]
    assert found["3"]["cpu"] == 1  # the first reader's word
    assert (found["overall"]["calls"], found["overall"]["mem"]) == (30, 6)


def test_what_was_counted_before_the_first_reading_is_none_of_the_runs() -> None:
    watch = ServerWatch([Told({}, {"calls": 1000}, {"calls": 1010})], "server")
    watch.start()
    for period in (1, 2):
        watch.period_ended(period)
        while str(period) not in watch._periods:
            time.sleep(0.001)
    assert watch.finish(10).periods["overall"]["calls"] == 10
