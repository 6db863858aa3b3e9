"""The simulation of many clients and servers, against what queueing theory says in closed form."""

import pytest

from benchmarks.scale.simulation import Batching, Setting, bounds_per_s, simulate


def test_poisson_arrivals_at_one_thread_wait_as_m_d_1_says() -> None:
    """Pollaczek and Khinchine: a mean wait of s * u / (2 * (1 - u)) at a use of u."""
    service_s, use = 0.001, 0.5
    setting = Setting(
        clients=1, servers=1, workers=0, client_cpu_s=0, server_cpu_s=service_s,
        arrivals_per_s=use / service_s,
    )  # fmt: skip
    simulated = simulate(setting, seconds=40, warm_up_s=1)
    wait_s = service_s * use / (2 * (1 - use))
    assert simulated.mean_s == pytest.approx(service_s + wait_s, rel=0.02)
    assert simulated.per_s == pytest.approx(use / service_s, rel=0.02)


@pytest.mark.parametrize("workers", [1, 3, 20])
def test_a_closed_loop_is_bound_by_its_workers_or_by_the_thread(workers: int) -> None:
    setting = Setting(
        clients=1, servers=1, workers=workers, client_cpu_s=0.001, client_cores=50,
        server_cpu_s=0.001, round_trip_s=0.002,
    )  # fmt: skip
    simulated = simulate(setting, seconds=10, warm_up_s=0.5)
    assert simulated.per_s == pytest.approx(min(workers / 0.004, 1 / 0.001), rel=0.01)
    assert simulated.per_s == pytest.approx(min(bounds_per_s(setting).values()), rel=0.01)
    assert simulated.mean_s == pytest.approx(workers / simulated.per_s, rel=0.01)  # Little's law


def test_a_tensor_takes_a_link_once_though_it_crosses_two() -> None:
    setting = Setting(
        clients=1, servers=1, workers=1, client_cpu_s=0, server_cpu_s=1e-9,
        client_bit_s=1e9, server_bit_s=1e9, request_bytes=125_000, round_trip_s=0.001,
    )  # fmt: skip
    assert simulate(setting, 1, 0.1).mean_s == pytest.approx(0.001 + 0.001, rel=1e-3)
    busy = simulate(Setting(**{**vars(setting), "clients": 10}), 2, 0.1)
    assert busy.per_s == pytest.approx(1000, rel=0.01)


def test_one_machines_cores_are_shared_by_all() -> None:
    setting = Setting(
        clients=4, servers=2, workers=4, client_cpu_s=0.001, server_cpu_s=0.001, shared_cores=2
    )
    assert simulate(setting, 2, 0.5).per_s == pytest.approx(2 / 0.002, rel=0.02)


@pytest.mark.parametrize(
    ("workers", "per_s"),
    [
        (3, 3 / 0.02),  # fewer than the least: the first one's wait is the cycle
        (8, 4 / 0.01),  # always enough: as fast as the engine has full batches
    ],
)
def test_batches_are_filled_or_end_their_wait(workers: int, per_s: float) -> None:
    batching = Batching(size=4, least=4, wait_s=0.02, batch_s=0.01 if workers == 8 else 0.0)
    setting = Setting(
        clients=1, servers=1, workers=workers, client_cpu_s=1e-9, server_cpu_s=1e-9,
        batching=batching,
    )  # fmt: skip
    assert simulate(setting, 10, 1).per_s == pytest.approx(per_s, rel=0.02)
