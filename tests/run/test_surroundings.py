"""The processes of servers here, what other programs used, and who waited for a CPU."""

import os
import resource
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_inference import FakeInference
from fake_redisai import FakeRedisAI

from aibench_fast import RunConfig, run
from aibench_fast.coretypes import Endpoint
from aibench_fast.load import listening
from aibench_fast.load.machine import CpuTimes, QuotaReading, waited_for_cpu_s
from aibench_fast.load.surroundings import (
    Reading,
    ServerProcesses,
    ServerUse,
    Surroundings,
    find_servers,
)
from aibench_fast.protocols.serverprocess import ProcessReader
from aibench_fast.protocols.session import ServerRecord
from aibench_fast.results.groups import ServerFacts

LISTEN_TCP = """
import socket, sys, time
host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
family = socket.AF_INET6 if ":" in host else socket.AF_INET
listening = socket.create_server((host, 0), family=family)
print(listening.getsockname()[1], flush=True)
time.sleep(600)
"""
LISTEN_UNIX = """
import socket, sys, time
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1]); listening.listen()
print(0, flush=True)
time.sleep(600)
"""
FORKS_A_WORKER = """
import os, socket, sys, time
listening = socket.create_server(("127.0.0.1", 0))
if os.fork() == 0:
    while True: pass
print(listening.getsockname()[1], flush=True)
time.sleep(600)
"""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@contextmanager
def program(
    text: str, *words: object, executable: Sequence[object] = (sys.executable,)
) -> Iterator[tuple[int, int]]:
    """A program that listens: its process and its port."""
    command = [*map(str, executable), "-c", text, *map(str, words)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as one:
        try:
            yield one.pid, int(one.stdout.readline())
        finally:
            os.killpg(one.pid, 9)


def record(pid: int | None = None) -> ServerRecord:
    return ServerRecord(ServerFacts("a", "1", "127.0.0.1"), pid=pid)


def pids(found: ServerProcesses | None) -> list[int] | None:
    return None if found is None else [*found.pids]


@pytest.mark.parametrize("kernel_says", [True, False])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_server_here_is_found_by_the_port_it_listens_on(
    monkeypatch: pytest.MonkeyPatch, kernel_says: bool, host: str
) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
        try:
            tried.bind((host, 0))
        except OSError:
            pytest.skip(f"no {host} here")
    if not kernel_says:  # there is no such protocol
        monkeypatch.setattr(listening, "_NETLINK_SOCK_DIAG", 31)
    with program(LISTEN_TCP, host) as (pid, port):
        assert pids(find_servers([Endpoint(host, port)], [record()], None)) == [pid]


def test_a_server_here_is_found_by_its_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "a server"
    with program(LISTEN_UNIX, path) as (pid, _):
        there = Endpoint("", 0, path)
        assert pids(find_servers([there], [record()], None)) == [pid]


def test_a_program_that_passes_on_what_a_server_answers_is_not_taken_for_it(
    tmp_path: Path,
) -> None:
    with program(LISTEN_TCP) as (pid, port):
        there = [Endpoint("127.0.0.1", port)]
        assert pids(find_servers(there, [record(pid=pid)], None)) == [pid]
        assert find_servers(there, [record(pid=1)], None) is None
    proxy = tmp_path / "docker-proxy"
    proxy.symlink_to(Path(sys.executable).resolve())
    with program(LISTEN_TCP, executable=[proxy]) as (_, port):
        assert find_servers([Endpoint("127.0.0.1", port)], [record()], None) is None


def test_a_server_in_a_container_tells_its_number_there() -> None:
    inside = ["unshare", "--pid", "--fork", "--kill-child"]
    if shutil.which(inside[0]) is None or subprocess.run([*inside, "true"], check=False).returncode:
        pytest.skip("no namespace of processes can be made here")
    with program(LISTEN_TCP, executable=[*inside, sys.executable]) as (outer, port):
        there = [Endpoint("127.0.0.1", port)]
        found = pids(find_servers(there, [record(pid=1)], None))
        assert found is not None and found[0] > outer
        assert find_servers(there, [record(pid=outer)], None) is None


def test_servers_elsewhere_have_no_process_here_and_one_that_is_not_found_is_unknown(
    closed_port: int,
) -> None:
    elsewhere = find_servers([Endpoint("192.0.2.1", 6379)], [record()], None)
    assert pids(elsewhere) == []
    assert find_servers([Endpoint("127.0.0.1", closed_port)], [record()], None) is None
    assert pids(find_servers([Endpoint("127.0.0.1", 1)], [record()], 77)) == [77]


def test_what_a_servers_workers_use_is_the_servers() -> None:
    with program(FORKS_A_WORKER) as (pid, port):
        found = find_servers([Endpoint("127.0.0.1", port)], [record()], None)
        assert pids(found) == [pid]
        assert found.cores() == os.sched_getaffinity(0)
        until_s = time.monotonic() + 60
        while found.read().cpu_s < 0.2 and time.monotonic() < until_s:
            time.sleep(0.05)
        assert found.read().cpu_s >= 0.2


def test_what_cannot_be_read_for_lack_of_descriptors_is_unknown() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with program(LISTEN_TCP) as (pid, port):
        found = ServerProcesses([pid])
        there = [Endpoint("127.0.0.1", port)]
        assert found.read() is not None
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
        try:
            use, cores, groups = found.read(), found.cores(), found.cpu_groups()
            reading = ProcessReader(pid).read()
            servers = find_servers(there, [record()], None)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert (use, cores, groups, servers) == (None, set(), set(), None)
        assert reading.counters == {}
        assert "Too many open files" in reading.notes[0]
        assert found.read() is not None


def test_how_long_a_thread_waited_is_known_after_its_end() -> None:
    """Two busy threads on one core: each waits for the other. Then one of them ends."""
    if not Path("/proc/self/schedstat").exists():
        pytest.skip("this kernel counts no waiting")
    busy = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\nwhile True: pass"
    programs = [subprocess.Popen([sys.executable, "-c", busy]) for _ in range(2)]
    try:
        found = ServerProcesses([one.pid for one in programs])
        before = found.read().waited_s
        until_s = time.monotonic() + 60
        while (waited := found.read().waited_s) is not None and time.monotonic() < until_s:
            if before is not None and waited > before + 0.1:
                break
            time.sleep(0.05)
        assert before is not None and waited is not None
        assert waited > before + 0.1
        programs[0].kill()
        programs[0].wait()
        after = found.read().waited_s
        assert after is not None
        assert after >= waited
    finally:
        for one in programs:
            one.kill()
            one.wait()


def reading(at_s: float, busy_s: float, client_s: float, server_s: float | None) -> Reading:
    """Of a machine with one core, whose programs used so much until then."""
    ticks = CpuTimes(round(at_s * TICKS_PER_S), round((at_s - busy_s) * TICKS_PER_S), 0)
    servers = None if server_s is None else ServerUse(server_s, 0.5 * server_s)
    return Reading(
        at_s=at_s, machine=ticks, client_cores=ticks, server_cores=ticks, quota=QuotaReading([]),
        pressure_s=0.25 * at_s, client_cpu_s=client_s, servers=servers,
    )  # fmt: skip


def test_others_used_what_neither_client_nor_server_did() -> None:
    here = Surroundings(ServerProcesses([os.getpid()]))
    found = here.between(reading(10, 5, 1, 1), reading(20, 14, 2, 4))
    assert found.machine.busy == pytest.approx(0.9)
    assert found.others == pytest.approx(0.5)
    assert found.server_others == pytest.approx(0.5)
    assert found.pressure == pytest.approx(0.25)
    assert found.server_cpu_wait == pytest.approx(0.15)


def test_others_are_not_known_beside_an_unknown_server_or_other_clients() -> None:
    unknown = Surroundings(None)
    assert unknown.same_cores
    found = unknown.between(reading(10, 5, 1, None), reading(20, 14, 2, None))
    assert (found.others, found.server_others, found.server_cpu_wait) == (None, None, None)
    assert found.machine is not None
    one_of_several = Surroundings(ServerProcesses([]), is_only_client=False)
    assert not one_of_several.same_cores
    assert one_of_several.between(reading(10, 5, 1, 0), reading(20, 14, 2, 0)).others is None


def test_the_surroundings_of_a_real_moment_are_within_their_bounds() -> None:
    here = Surroundings(ServerProcesses([]))
    before = here.read()
    time.sleep(0.3)
    found = here.between(before, here.read())
    assert found.machine is not None and 0 <= found.machine.busy <= 1
    assert found.others is not None and 0 <= found.others <= 1
    assert found.server_others is None
    assert found.server_cpu_wait is None
    assert found.pressure is None or 0 <= found.pressure <= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull total=9\n", 1.5),
        ("full avg10=0.00 total=9\n", None),
        ("some total=\n", None),
        ("", None),
    ],
)
def test_pressure_is_read_where_the_kernel_has_it(
    tmp_path: Path, text: str, expected: float | None
) -> None:
    (tmp_path / "cpu.pressure").write_text(text)
    assert waited_for_cpu_s([tmp_path / "none", tmp_path / "cpu.pressure"]) == expected
    assert waited_for_cpu_s([]) is None


def test_a_run_tells_how_long_its_threads_waited_for_a_cpu(tensor_file: Path) -> None:
    if not Path("/proc/self/schedstat").exists():
        pytest.skip("this kernel counts no waiting")
    core = min(os.sched_getaffinity(0))
    usual = os.sched_getaffinity(0)
    with FakeRedisAI() as server:
        os.sched_setaffinity(0, [core])
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            config = RunConfig(file=tensor_file, address=server.address, duration_s=1.0)
            result = run(config)
        finally:
            busy.kill()
            busy.wait()
            os.sched_setaffinity(0, usual)
    assert result.client.check.cpu_wait is not None
    assert 0 < result.client.check.cpu_wait <= 1
    check = result.to_json()["ClientCheck"]
    assert check["CpuWait"] == result.client.check.cpu_wait


def test_a_server_over_http_is_known_without_telling_its_process() -> None:
    with FakeInference() as server:
        found = find_servers([Endpoint("127.0.0.1", server.port)], [record()], None)
    assert pids(found) == [os.getpid()]


def test_a_server_that_listens_in_a_thread_that_ends_is_still_found() -> None:
    made: list[socket.socket] = []
    thread = threading.Thread(target=lambda: made.append(socket.create_server(("127.0.0.1", 0))))
    thread.start()
    thread.join()
    with made[0] as listening:
        there = Endpoint("127.0.0.1", listening.getsockname()[1])
        assert pids(find_servers([there], [record()], None)) == [os.getpid()]
