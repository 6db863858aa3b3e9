"""Results without the model's auto-batching, and how they may be misread."""

from collections.abc import Iterable, Sequence

from aibench_fast.results.files import Cell, RunRecord


def batching_doubts(records: Iterable[RunRecord]) -> list[str]:
    """Return warnings for results of RedisAI whose MetadataAutobatching is -1.

    Results of other servers always have -1: the Open Inference Protocol has no such setting.
    """
    alike: dict[Cell, list[RunRecord]] = {}
    for run in records:
        alike.setdefault(run.cell._replace(autobatching=0), []).append(run)
    apart: list[RunRecord] = []
    together: list[RunRecord] = []
    for runs in alike.values():
        unknown = [run for run in runs if run.lacks_autobatching]
        if any(run.cell.autobatching >= 0 for run in runs):
            apart += unknown
        elif len(unknown) > 1:
            together += unknown
    return [
        f"{_named(unknown)}, so {what}"
        for unknown, what in (
            (apart, "they are kept apart from those of the same settings that say it"),
            (together, "runs of models with different BATCHSIZEs may be taken together"),
        )
        if unknown
    ]


def _named(runs: Sequence[RunRecord]) -> str:
    others = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
    return f"{runs[0].path.name}{others}: the model's auto-batching is not known (-1)"
