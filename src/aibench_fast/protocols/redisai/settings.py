"""The settings of a run that RedisAI alone has."""

from dataclasses import dataclass

from aibench_fast.protocols.redisai.commands import Dialect
from aibench_fast.protocols.settings import ServerSettings


@dataclass(frozen=True, kw_only=True)
class RedisAiSettings(ServerSettings):
    """How requests are sent to RedisAI."""

    cluster_mode: bool = False
    """`address` and `others` are nodes of a Redis Cluster, whose primaries are the servers."""
    use_dag: bool = False
    """Send a request as one DAG instead of three commands."""
    persist_results: bool = False
    """Leave the outputs in the server; of a DAG, store them there."""
    dialect: Dialect | None = Dialect.MODELRUN
    """The family of commands; None: the newest that the server knows."""
    timeout_ms: int | None = None
    """The server's own limit on the time that a request waits in its queue."""
    reset_stats: bool = False
    """Set the server's statistics to 0 before the run, for everyone who reads them."""
