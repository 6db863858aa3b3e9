"""A client process of a real run: for each line of JSON on stdin it makes a run and prints it.

It is there before the run begins, so that several begin together.
"""

import json
import sys

from aibench_fast import RunConfig, ServerAddress, run
from benchmarks.scale.real import Asked, Client


def main() -> None:
    for line in sys.stdin:
        asked = Asked(**json.loads(line))
        result = run(
            RunConfig(
                file=None, shape=(asked.values,), address=ServerAddress(asked.host, asked.port),
                model=asked.model, workers=asked.workers, limit_rps=asked.rate,
                arrivals="poisson" if asked.rate else "even", seed=asked.seed,
                burn_in_s=asked.burn_in_s, duration_s=asked.burn_in_s + asked.seconds,
            )
        )  # fmt: skip
        if result.failed:
            sys.exit(f"requests failed: {result.failures or result.counts.burn_in_failures}")
        requests = result.requests + result.counts.burn_in_requests
        made = Client(
            per_s=result.requests_per_s,
            cpu_s=result.client.cpu_s / requests,
            mean_s=result.latencies.mean_ms / 1000,
            requests=requests,
        )
        print(json.dumps(vars(made)), flush=True)


if __name__ == "__main__":
    main()
