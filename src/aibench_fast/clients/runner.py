"""One benchmark, from this process or from the workers of a Dask cluster.

What several clients need is imported for them alone: a run from here should take little memory.
"""

from aibench_fast.cluster import DaskClient, scheduler_there
from aibench_fast.errors import ConfigError
from aibench_fast.load import runner
from aibench_fast.load.config import RunConfig
from aibench_fast.results.events import Observer, ignore
from aibench_fast.results.result import Result


def run(
    config: RunConfig,
    observe: Observer = ignore,
    *,
    client: DaskClient | None = None,
    clients: int | None = None,
) -> Result:
    """Run one benchmark and return what it measured; `observe` hears of it meanwhile.

    The load comes from native threads without the GIL: other Python threads go on. Ctrl-C ends the
    run and returns what was measured, with `interrupted` set. Failed requests raise nothing: they
    are counted in the result. ConfigError and ServerError are raised before the clock starts.

    With a `client` of a Dask cluster the load comes from as many of its workers as `clients` says,
    or all; together they send what one client would. One that goes away is in the result, as lost.
    """
    if client is not None:
        from aibench_fast.clients.coordinator import RunOverClients

        with scheduler_there(client):
            return RunOverClients(config, observe, client, clients).run()
    if clients is not None:
        raise ConfigError(f"`clients` {clients} without a client of Dask: give both or neither")
    return runner.run(config, observe)
