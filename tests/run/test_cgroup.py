"""CPU quotas of control groups: trees of either version, and a real group where one can be made."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_redisai import FakeRedisAI

from aibench_fast import RunConfig, ServerAddress, run
from aibench_fast.load.machine import CpuGroups, QuotaReading
from aibench_fast.models.load import Backend, ModelSpec, load_model
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.report.text import format_summary
from aibench_fast.results.clientside import Verdict
from aibench_fast.results.result import Result
from aibench_fast.server import EmbeddedServer

MOUNTED = (
    "31 23 0:28 / {at} rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "33 31 0:30 / {at}/memory rw - cgroup cgroup rw,memory\n"
)
VERSION_1 = MOUNTED + "32 31 0:29 {root} {at}/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
VERSION_2 = "41 31 0:38 {root} {at} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = VERSION_1 + "41 31 0:38 / {at}/unified rw - cgroup2 cgroup2 rw\n"
GROUPS_1 = "9:name=systemd:/\n4:memory:/elsewhere\n2:cpu,cpuacct:{path}\n0::/unused\n"
GROUPS_2 = "0::{path}\n"


def process(folder: Path, groups: str, mounts: str, path: str, root: str = "/") -> Path:
    """A process's folder in /proc, in such a group of a hierarchy that is mounted in `folder`."""
    proc = folder / "proc"
    proc.mkdir(exist_ok=True)
    (proc / "cgroup").write_text(groups.format(path=path))
    (proc / "mountinfo").write_text(mounts.format(at=folder, root=root))
    return proc


def version_1(group: Path, quota_us: int, throttled: int, period_us: int = 100_000) -> None:
    group.mkdir(parents=True, exist_ok=True)
    (group / "cpu.cfs_quota_us").write_text(f"{quota_us}\n")
    (group / "cpu.cfs_period_us").write_text(f"{period_us}\n")
    (group / "cpu.stat").write_text(f"nr_periods 50\nnr_throttled {throttled}\nthrottled_time 9\n")


def version_2(group: Path, limit: str, throttled: int | None) -> None:
    group.mkdir(parents=True, exist_ok=True)
    (group / "cpu.max").write_text(f"{limit}\n")
    counted = "" if throttled is None else f"nr_periods 50\nnr_throttled {throttled}\n"
    (group / "cpu.stat").write_text(f"usage_usec 7\n{counted}")


def read(proc: Path) -> QuotaReading:
    return CpuGroups(proc).read()


@pytest.mark.parametrize("mounts", [VERSION_1, HYBRID])
def test_version_1_has_the_tightest_quota_on_the_way_up(tmp_path: Path, mounts: str) -> None:
    version_1(tmp_path / "cpu", -1, 0)
    version_1(tmp_path / "cpu" / "pod", 150_000, 3)
    version_1(tmp_path / "cpu" / "pod" / "app", 20_000, 7, period_us=50_000)
    proc = process(tmp_path, GROUPS_1, mounts, "/pod/app")
    found = read(proc)
    assert found.cpus == 0.4
    assert [(one.folder.name, one.cpus, one.throttled_periods) for one in found.groups] == [
        ("app", 0.4, 7), ("pod", 1.5, 3),
    ]  # fmt: skip


def test_version_2_has_the_tightest_quota_on_the_way_up(tmp_path: Path) -> None:
    (tmp_path / "cpu.stat").write_text("usage_usec 7\n")  # the root has no limit
    version_2(tmp_path / "pod", "20000 100000", 3)
    version_2(tmp_path / "pod" / "app", "max 100000", 0)
    found = read(process(tmp_path, GROUPS_2, VERSION_2, "/pod/app"))
    assert found.cpus == 0.2
    assert [one.folder.name for one in found.groups] == ["pod"]


def test_a_group_of_which_only_a_part_is_mounted_is_found_by_that(tmp_path: Path) -> None:
    version_1(tmp_path / "cpu", 30_000, 1)
    version_1(tmp_path / "cpu" / "inner", 50_000, 1)
    proc = process(tmp_path, GROUPS_1, VERSION_1, "/docker/abc/inner", root="/docker/abc")
    assert [one.folder.name for one in read(proc).groups] == ["inner", "cpu"]


@pytest.mark.parametrize("path", ["/docker/not-mounted", "/../outside", "/"])
def test_of_a_group_that_is_not_seen_the_mounted_root_counts(tmp_path: Path, path: str) -> None:
    version_2(tmp_path, "50000 100000", 1)
    version_2(tmp_path.parent / "outside", "10000 100000", 1)
    assert read(process(tmp_path, GROUPS_2, VERSION_2, path)).cpus == 0.5


def test_a_mount_whose_name_has_a_blank(tmp_path: Path) -> None:
    group = tmp_path / "control groups" / "app"
    version_2(group, "25000 100000", 0)
    mounts = VERSION_2.replace("{at}", "{at}/control\\040groups")
    assert read(process(tmp_path, GROUPS_2, mounts, "/app")).cpus == 0.25


@pytest.mark.parametrize("limit", ["max 100000", "max", "", "0 100000", "5 0", "a b", "1 2 3", "9"])
def test_without_a_limit_that_can_be_read_there_is_no_quota(tmp_path: Path, limit: str) -> None:
    version_2(tmp_path / "app", limit, 3)
    found = read(process(tmp_path, GROUPS_2, VERSION_2, "/app"))
    assert found.cpus is None
    assert found.since(found, 1.0) is None


@pytest.mark.parametrize("stat", ["", "nr_throttled\n", "nr_throttled many\n", "\0\xff"])
def test_a_group_whose_counters_cannot_be_read_is_left_out(tmp_path: Path, stat: str) -> None:
    version_1(tmp_path / "cpu" / "app", 20_000, 0)
    (tmp_path / "cpu" / "app" / "cpu.stat").write_text(stat)
    assert read(process(tmp_path, GROUPS_1, VERSION_1, "/app")).groups == []


@pytest.mark.parametrize("file", ["cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.stat"])
def test_a_missing_file_is_no_quota(tmp_path: Path, file: str) -> None:
    version_1(tmp_path / "cpu" / "app", 20_000, 0)
    (tmp_path / "cpu" / "app" / file).unlink()
    assert read(process(tmp_path, GROUPS_1, VERSION_1, "/app")).groups == []


@pytest.mark.parametrize(
    ("groups", "mounts"),
    [("", VERSION_1), (GROUPS_1, ""), (GROUPS_1, MOUNTED), ("a\n:\n", "b - c\n - \n"), ("::", "1")],
)
def test_a_process_without_a_group_that_is_seen_has_no_quota(
    tmp_path: Path, groups: str, mounts: str
) -> None:
    assert CpuGroups(process(tmp_path, groups, mounts, "/app")).folders == []
    assert CpuGroups(tmp_path / "missing").read().cpus is None


def test_throttling_is_a_share_of_the_periods_in_the_time_between(tmp_path: Path) -> None:
    proc = process(tmp_path, GROUPS_1, VERSION_1, "/pod/app")
    version_1(tmp_path / "cpu" / "pod", 150_000, 10)
    version_1(tmp_path / "cpu" / "pod" / "app", 20_000, 10)
    before = read(proc)
    version_1(tmp_path / "cpu" / "pod", 150_000, 12)
    version_1(tmp_path / "cpu" / "pod" / "app", 20_000, 49)
    used = read(proc).since(before, 4.0)
    assert used[:3] == (0.2, pytest.approx(39 / 40), 0.2)
    version_1(tmp_path / "cpu" / "pod", 150_000, 99)
    used = read(proc).since(before, 4.0)
    assert used[:3] == (0.2, 1.0, 1.5)  # the outer one stood still most, which is not the tightest
    assert used.folder == tmp_path / "cpu" / "pod"


def test_a_group_that_was_made_anew_counts_from_its_start(tmp_path: Path) -> None:
    proc = process(tmp_path, GROUPS_2, VERSION_2, "/app")
    version_2(tmp_path / "app", "20000 100000", 90)
    before = read(proc)
    version_2(tmp_path / "app", "20000 100000", 4)
    used = read(proc).since(before, 1.0)
    assert used.throttled == 0


@pytest.fixture
def limited_group() -> Iterator[Path]:
    """A real group below our own with a quota of 0.1 CPUs."""
    folders = CpuGroups().folders
    if not folders:
        pytest.skip("no control groups are mounted here")
    group = folders[0] / f"aibench-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no group may be made here")
    try:
        with contextlib.suppress(OSError):
            (group / "cpu.cfs_quota_us").write_text("10000")
            (group / "cpu.cfs_period_us").write_text("100000")
        with contextlib.suppress(OSError):
            (group / "cpu.max").write_text("10000 100000")
        if read_of(group) is None:
            pytest.skip("groups have no CPU controller here")
        yield group
    finally:
        group.rmdir()


@contextmanager
def moved_into(group: Path) -> Iterator[None]:
    """This process in the group, and back again."""
    own = CpuGroups().folders[0]
    try:
        (group / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        pytest.skip("no process may be moved here")
    try:
        yield
    finally:
        (own / "cgroup.procs").write_text(str(os.getpid()))


def throttled_run(port: int, group: Path) -> Result:
    config = RunConfig(
        file=None, shape=(16,), model="m", workers=4, duration_s=1.5,
        address=ServerAddress("127.0.0.1", port),
    )  # fmt: skip
    with moved_into(group):
        return run(config)


def read_of(group: Path) -> float | None:
    groups = CpuGroups()
    groups.folders = [group]
    return groups.read().cpus


def test_a_real_quota_is_read_and_its_throttling_counted(limited_group: Path) -> None:
    assert read_of(limited_group) == pytest.approx(0.1)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        try:
            (limited_group / "cgroup.procs").write_text(str(busy.pid))
        except OSError:
            pytest.skip("no process may be moved here")
        groups = CpuGroups(Path(f"/proc/{busy.pid}"))
        assert groups.folders[0] == limited_group
        before, from_s = groups.read(), time.monotonic()
        until_s = from_s + 60  # of a busy machine
        used = None
        while time.monotonic() < until_s and not (used and used.throttled > 0):
            time.sleep(0.1)
            used = groups.read().since(before, time.monotonic() - from_s)
        assert used.throttled > 0
        assert used.cpus == pytest.approx(0.1)
    finally:
        busy.kill()
        busy.wait()


def test_a_throttled_client_is_the_limit_and_its_quota_is_named(limited_group: Path) -> None:
    with EmbeddedServer(password=None) as server:
        with Connection(server.address) as connection:
            load_model(connection, ModelSpec(name="m", backend=Backend.NULL))
        result = throttled_run(server.port, limited_group)
    check = result.to_json()["ClientCheck"]
    assert check["CpuQuota"] == pytest.approx(0.1)
    assert 0.01 < check["Throttled"] <= 1
    assert check["CpuShare"] > 0.1  # of the tenth of a CPU that it may use
    assert result.client.check.verdict is Verdict.CLIENT_BOUND
    assert "CPU quota of 0.1 CPUs" in result.client.check.reason
    assert "quota 0.1 CPUs, used up in " in format_summary(result)


def test_a_throttled_client_with_its_server_in_the_same_group_is_unclear(
    limited_group: Path,
) -> None:
    with FakeRedisAI() as server:  # of this process
        result = throttled_run(server.port, limited_group)
    assert result.client.check.verdict is Verdict.UNCLEAR
    assert "client and server share a control group" in result.client.check.reason
