"""The fewest workers that a run can have."""

from aibench_fast.load.config import RunConfig
from aibench_fast.protocols.redisai.cluster import read_cluster
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.protocols.redisai.leastbatch import most_waiting
from aibench_fast.protocols.redisai.redirects import SlotQuestions
from aibench_fast.protocols.redisai.visit import read_model


def least_workers(config: RunConfig) -> int:
    """One, or where models of RedisAI wait until a batch is large enough, as many as that takes.

    ServerError where a model is not there; ConfigError where no number of workers fills its batch.
    """
    if config.url is not None:
        return 1
    cluster = read_cluster(config.addresses) if config.cluster_mode else None
    shards = cluster.shards if cluster else []
    address = shards[0].primary if shards else config.address
    with (
        Connection(address, config.patience_s) as connection,
        SlotQuestions(connection, cluster) as questions,
    ):
        models = {
            name: read_model(questions, name, shards[0].key(name) if shards else name)
            for name in config.models
        }
    asked = {(models[kind.model], kind.batch_size) for kind in config.kinds}
    waiting = most_waiting(asked)
    return 1 if waiting == 0 else (waiting + 1) * len(shards or config.addresses)
