"""Folders of results that reports are made of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resultfiles import our_result, write

from aibench_fast.results.result import Warned
from aibench_fast.results.search import Search, SearchStep

EVIL = "ERR </script><script>document.title='owned'</script> & more"


def sweep(folder: Path) -> Path:
    """Two repetitions of a small sweep, one run of it with failures, and a broken file."""
    seed = 0
    for workers in (1, 4, 8):
        for autobatching, batch_size in ((0, 1), (8, 1), (0, 10)):
            for run in (1, 2):
                seed += 1
                result = our_result(
                    workers=workers, autobatching=autobatching, batch_size=batch_size,
                    rate=50.0 + 10 * workers + autobatching + run, p50_ms=20.0 * workers,
                    seed=seed, failures=5 if seed == 3 else 0,
                    periods=server_stats(),
                )  # fmt: skip
                document = result.to_json() | {"Facts": facts(workers)}
                if seed == 3:
                    document["Failures"]["error_reply"]["FirstMessage"] = EVIL
                write(folder, f"JSON_{seed:02}.json", document)
    (folder / "half.json").write_text('{"Workers"')
    return folder


def server_stats() -> dict[str, Any]:
    start = 1_596_741_778_490
    period = {
        "process_cpu_user_s": 1.5,
        "process_cpu_sys_s": 0.1,
        "main_thread_cpu_user_s": 0.2,
        "queue_CPU_thread_1_cpu_s": 0.9,
    }
    return {"overall": {}} | {str(start + second * 1000): period for second in range(1, 21)}


def facts(workers: int) -> dict[str, Any]:
    return {
        "Host": "bench-1",
        "CpuModel": "A <fast> CPU",
        "ModelDigest": "12ab" * 16,
        "CommandLine": ["aibench-fast", "run", "--file", "my file.out", "--workers", str(workers)],
    }


def searched(folder: Path, slo: Sequence[str], held: Sequence[int], **changes: Any) -> Path:
    """The folder of a search over workers: 1, 2, 4 and 3, of which some held."""
    steps = []
    for number, workers in enumerate((1, 2, 4, 3, 3)):
        result = our_result(
            workers=workers, autobatching=-1, rate=50.0 + workers, p50_ms=10.0 * workers,
            warnings=[Warned("same_machine", f"the server shares {number + 2} cores")],
        )  # fmt: skip
        result.save(folder / f"step-{number}.json")
        steps.append(SearchStep(workers, workers in held, f"step-{number}.json"))
    found = {"found": float(max(held)) if held else None, "confirmed": True} | changes
    Search(slo=slo, over="workers", steps=steps, **found).save(folder / "search.json")
    return folder
