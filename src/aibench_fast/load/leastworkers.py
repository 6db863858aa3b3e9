"""The fewest workers that a run can have."""

from aibench_fast.load.config import RunConfig


def least_workers(config: RunConfig) -> int:
    """As many as the models need that wait until a batch is large enough; otherwise one.

    ServerError where a model is not there; ConfigError where no number of workers fills its batch.
    """
    return config.protocol.least_workers(config.kind_specs)
