"""The cost of redis-py: a pipeline of the same three commands, one after another.

A program of its own, because how its allocator treats large buffers depends on what the process did
before: in one that had freed larger ones this loop was three times as fast.

usage: python -m benchmarks.perf.redis_py_loop PORT REQUESTS MODEL TENSOR_FILE TENSOR_BYTES
Prints: requests seconds cpu_seconds
"""

import sys
import time
from pathlib import Path

import redis

from aibench_fast.protocols.redisai.commands import TENSOR_BLOB, Dialect
from aibench_fast.protocols.redisai.request import Request
from aibench_fast.protocols.session import AskedInput

SHAPE = (1, 224, 224, 3)
TENSORS = 20


def send(client: redis.Redis, request: Request, tensor: bytes) -> None:
    """Send one request and wait for its replies."""
    pipeline = client.pipeline(transaction=False)
    for command in request.commands(0):
        pipeline.execute_command(*(tensor if a is TENSOR_BLOB else a for a in command))  # type: ignore[no-untyped-call]
    pipeline.execute()


def main(port: int, requests: int, model: str, tensor_file: str, tensor_bytes: int) -> None:
    """Send so many requests."""
    request = Request(dialect=Dialect.MODELRUN, model=model, inputs=[AskedInput("FLOAT", SHAPE)])
    with Path(tensor_file).open("rb") as file:
        data = [file.read(tensor_bytes) for _ in range(TENSORS)]
    with redis.Redis(port=port, protocol=2) as client:
        start, cpu = time.monotonic(), time.process_time()
        for number in range(requests):
            send(client, request, data[number % len(data)])
        print(requests, time.monotonic() - start, time.process_time() - cpu)


if __name__ == "__main__":
    _, port, requests, model, tensor_file, tensor_bytes = sys.argv
    main(int(port), int(requests), model, tensor_file, int(tensor_bytes))
