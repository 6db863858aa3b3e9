"""Clients in network namespaces, behind links with delay and loss."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from commandline import completed
from conservation import broken
from dask.distributed import Client, LocalCluster
from manyclients.conftest import MODEL
from redisclient import connect

from aibench_fast import RunConfig, ServerAddress, run
from aibench_fast.clients import clocks
from aibench_fast.results.events import IntervalLatencies
from aibench_fast.server import EmbeddedServer

NETWORK = f"10.213.{os.getpid() % 250}"  # what a killed run left behind has another
HERE = f"{NETWORK}.1"
NAMES = [f"aib{os.getpid() % 100_000}n{number}" for number in (2, 3)]
BRIDGE = f"aib{os.getpid() % 100_000}br"
DELAY_MS = 20
LOSS = "1%"


def ip(*words: object) -> None:
    subprocess.run(["ip", *map(str, words)], check=True, capture_output=True)


def delay(namespace: str) -> None:
    """Hold up what leaves a namespace, and lose some of it; skip where the kernel cannot."""
    done = completed(
        "ip", "netns", "exec", namespace, "tc", "qdisc", "add", "dev", "eth0", "root", "netem",
        "delay", f"{DELAY_MS}ms", "loss", LOSS, code=None,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"no delay and loss here: {done.stderr.strip()}")


@pytest.fixture
def namespaces() -> Iterator[list[str]]:
    """Two, with addresses .2 and .3 of NETWORK; skipped where they are not allowed."""
    try:
        ip("link", "add", BRIDGE, "type", "bridge")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespaces here: {error}")
    try:
        ip("addr", "add", f"{HERE}/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for number, name in enumerate(NAMES, 2):
            ip("netns", "add", name)
            ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", name, "master", BRIDGE, "up")
            ip("-n", name, "addr", "add", f"{NETWORK}.{number}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield NAMES
    finally:
        for name in NAMES:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        ip("link", "del", BRIDGE)


@contextmanager
def worker_in(namespace: str, scheduler: str, folder: Path) -> Iterator[None]:
    with subprocess.Popen(
        ["ip", "netns", "exec", namespace, sys.executable, "-m", "dask", "worker", scheduler,
         "--no-nanny", "--nthreads", "1", "--name", namespace, "--no-dashboard"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            yield
        finally:
            process.terminate()


@pytest.mark.parametrize("delay_ms", [0, DELAY_MS])
def test_clients_of_other_networks(
    namespaces: list[str],
    server: EmbeddedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    delay_ms: int,
) -> None:
    """Counts hold; latencies have the delay; a clock is known to half of what asking takes."""
    for namespace in namespaces if delay_ms else ():
        delay(namespace)
    monkeypatch.setattr(clocks, "clock_id", lambda: "of another machine")
    with connect(server.address) as connection:
        connection.config_set("protected-mode", "no")
        connection.config_set("bind", f"127.0.0.1 {HERE}")
    with ExitStack() as stack:
        cluster = stack.enter_context(
            LocalCluster(n_workers=0, processes=True, dashboard_address="127.0.0.1:0", host=HERE)
        )
        for namespace in namespaces:
            stack.enter_context(worker_in(namespace, cluster.scheduler_address, tmp_path))
        dask = stack.enter_context(Client(cluster, set_as_default=False))
        dask.wait_for_workers(len(namespaces), timeout=60)
        periods: list[IntervalLatencies] = []
        result = run(
            RunConfig(
                file=None, shape=(16,), model=MODEL, workers=20, limit_rps=100.0, max_queries=200,
                address=ServerAddress(HERE, server.address.port), interval_latencies=True,
            ),
            lambda event: periods.append(event) if isinstance(event, IntervalLatencies) else None,
            client=dask,
        )  # fmt: skip
    assert (result.requests, result.failed) == (200, 0)
    assert broken(result, [one.latencies for one in periods]) == []
    assert result.latencies.min_ms >= delay_ms
    assert [one.requests for one in result.clients] == [100, 100]
    for one in result.clients:
        assert one.clock_uncertainty_s >= delay_ms / 2000
        assert abs(one.clock_offset_s) <= one.clock_uncertainty_s
    if delay_ms:
        assert "uncertain_clock" in {one.kind for one in result.warnings}
