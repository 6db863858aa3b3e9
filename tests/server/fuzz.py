"""Random commands at an embedded server, from several clients at a time, for a while.

The commands are mostly well formed, with arguments put wrong here and there, so that they get past
the first check. The server must go on answering, and at the end its memory must be what an empty
server's is. A failure prints the seed, with which the same commands are sent again, and the last
ones of each client.
"""

import argparse
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator

import redis
from onnx import helper
from redis.backoff import NoBackoff
from redis.retry import Retry
from sanitized import use_sanitized_module
from small_models import onnx_model

from aibench_fast.errors import AibenchError
from aibench_fast.server import EmbeddedServer

CLIENTS = 4
LAST_COMMANDS = 20
REPLY_TIMEOUT_S = 1.0  # a request that waits for a batch may wait for ever
LEFT_BYTES = 2_000_000  # the server's own buffers and tables
KEYS = ["a", "b", "c", "m", "n", "text", "", "\r\n", "|>"]
DTYPES = [
    "FLOAT",
    "DOUBLE",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "UINT8",
    "UINT16",
    "BOOL",
    "STRING",
    "FLOAT16",
]
BYTES = {"FLOAT": 4, "DOUBLE": 8, "INT16": 2, "UINT16": 2, "INT32": 4, "INT64": 8}
ODD = ["", "0", "-1", "1", "x", "|>", "BLOB", "VALUES", "INPUTS", "OUTPUTS", "TIMEOUT", "LOAD",
       "99999999999999999999", "9223372036854775807", "-9223372036854775808", "1e308", "nan",
       "\0", "\xff" * 40, "A" * 1000]  # fmt: skip

Word = str | bytes | int
Command = list[Word]


class Commands:
    """An endless stream of commands from a seed."""

    def __init__(self, seed: int, model: bytes) -> None:
        self.chance = random.Random(seed)
        self.model = model

    def __iter__(self) -> Iterator[Command]:
        """Yield commands, some of them spoilt."""
        while True:
            command = self.command()
            yield self.spoilt(command) if self.chance.random() < 0.3 else command

    def command(self) -> Command:
        kinds = [
            (20, self.tensorset), (10, self.tensorget), (8, self.model_command), (20, self.run),
            (15, self.dag), (8, self.other),
        ]  # fmt: skip
        weights, makers = zip(*kinds, strict=True)
        made: Command = self.chance.choices(makers, weights)[0]()
        return made

    def key(self) -> Word:
        return self.chance.choice(KEYS)

    def tensorset(self) -> Command:
        dtype = self.chance.choice(DTYPES)
        dims = [self.chance.choice([1, 1, 2, 3, 3, 4]) for _ in range(self.chance.randrange(4))]
        if self.chance.random() < 0.4:
            dtype, dims = "FLOAT", [self.chance.choice([1, 2, 3]), 3]
        count = 1
        for dim in dims:
            count *= dim
        command: Command = ["AI.TENSORSET", self.key(), dtype, *dims]
        form = self.chance.random()
        if form < 0.5:
            command += ["BLOB", bytes(count * BYTES.get(dtype, 1))]
        elif form < 0.9:
            command += ["VALUES", *(self.chance.randrange(2) for _ in range(count))]
        return command

    def tensorget(self) -> Command:
        words = self.chance.sample(["META", "BLOB", "VALUES"], self.chance.randrange(3))
        return ["AI.TENSORGET", self.key(), *words]

    def model_command(self) -> Command:
        command: Command = [self.chance.choice(["AI.MODELSET", "AI.MODELSTORE"])]
        backend = self.chance.choice(["ONNX", "ONNX", "NULL", "NULL", "TF", "TFLITE", "TORCH"])
        command += [self.chance.choice(["m", "n", *KEYS]), backend, "CPU"]
        if self.chance.random() < 0.2:
            command += ["TAG", "t"]
        if self.chance.random() < 0.5:
            command += ["BATCHSIZE", self.chance.choice([2, 4, 100])]
            if self.chance.random() < 0.5:
                command += ["MINBATCHSIZE", 2, "MINBATCHTIMEOUT", self.chance.choice([1, 10])]
        if backend == "TF":
            command += ["INPUTS", 1, "x", "OUTPUTS", 1, "y"]
        end = len(self.model) if self.chance.random() < 0.8 else self.chance.randrange(60)
        return [*command, "BLOB", self.model[:end]]

    def run(self) -> Command:
        model = self.chance.choice(["m", "n", self.key()])
        given, made, wait = self.key(), self.key(), self.chance.random() < 0.2
        if self.chance.random() < 0.5:
            timeout: Command = ["TIMEOUT", 5] if wait else []
            return ["AI.MODELRUN", model, *timeout, "INPUTS", given, "OUTPUTS", made]
        timeout = ["TIMEOUT", 5] if wait else []
        return ["AI.MODELEXECUTE", model, "INPUTS", 1, given, "OUTPUTS", 1, made, *timeout]

    def dag(self) -> Command:
        command: Command = [
            self.chance.choice(["AI.DAGRUN", "AI.DAGEXECUTE", "AI.DAGRUN_RO", "AI.DAGEXECUTE_RO"])
        ]
        if self.chance.random() < 0.7:
            command += ["LOAD", 1, self.key()]
        if self.chance.random() < 0.3:
            command += ["PERSIST", 1, self.key()]
        if self.chance.random() < 0.2:
            command += ["TIMEOUT", 50]
        for _ in range(self.chance.randrange(1, 6)):
            maker = self.chance.choice([self.tensorset, self.tensorget, self.run])
            command += ["|>", *maker()]
        return command

    def other(self) -> Command:
        commands: list[Command] = [
            ["FLUSHALL"], ["FLUSHALL", "ASYNC"], ["INFO", "MODULES"], ["AI._MODELSCAN"],
            ["AI.INFO", self.key()], ["AI.INFO", self.key(), "RESETSTAT"],
            ["AI.MODELDEL", self.key()], ["AI.MODELGET", self.key()],
            ["AI.MODELGET", self.key(), "META"], ["DEL", self.key()], ["UNLINK", self.key()],
            ["RENAME", self.key(), self.key()], ["SET", "text", "x"], ["DUMP", self.key()],
            ["MEMORY", "USAGE", self.key()], ["TYPE", self.key()],
            ["AI.CONFIG", "MODEL_CHUNK_SIZE", self.chance.choice([50, 1000])],
            ["AI.CONFIG", "GET", "MODEL_CHUNK_SIZE"], ["AI.SCRIPTRUN", "s"],
            ["COMMAND", "GETKEYS", *self.run()], ["COMMAND", "GETKEYS", *self.dag()],
        ]  # fmt: skip
        return self.chance.choice(commands)

    def spoilt(self, command: Command) -> Command:
        spoilt = list(command)
        for _ in range(self.chance.choice([1, 1, 1, 2, 5])):
            at = self.chance.randrange(1, len(spoilt)) if len(spoilt) > 1 else 0
            how = self.chance.randrange(4)
            if how == 0 and len(spoilt) > 1:
                del spoilt[at]
            elif how == 1 and at:
                spoilt[at] = self.chance.choice(ODD)
            elif how == 2:
                spoilt.insert(at + 1, self.chance.choice([*ODD, *spoilt]))
            else:
                del spoilt[at + 1 :]
        return spoilt


class Attacker(threading.Thread):
    """Sends commands until the time is over or the server is gone."""

    def __init__(self, server: EmbeddedServer, seed: int, model: bytes, end: float) -> None:
        super().__init__()
        self.server, self.end = server, end
        self.commands = iter(Commands(seed, model))
        self.last: deque[Command] = deque(maxlen=LAST_COMMANDS)
        self.sent = 0
        self.wrong: str | None = None

    def run(self) -> None:
        """Send the commands; what the server answers does not matter, that it does is looked at."""
        connection = new_client(self.server).connection_pool.get_connection()
        while time.monotonic() < self.end:
            command = next(self.commands)
            self.last.append(command)
            self.sent += 1
            try:
                connection.send_command(*command)
                connection.read_response()
            except redis.TimeoutError:
                connection.disconnect()
            except redis.ResponseError:
                pass
            except redis.ConnectionError as error:
                self.wrong = f"the server is gone: {error}"
                return


def new_client(server: EmbeddedServer) -> redis.Redis:
    return redis.Redis(
        host=server.host, port=server.port, protocol=2, socket_timeout=REPLY_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0), encoding="latin-1",
    )  # fmt: skip


def fuzz(seconds: float, seed: int) -> str | None:
    """Return what went wrong, or None."""
    model = onnx_model([helper.make_node("Add", ["x", "x"], ["y"])], ["N", 3], ["N", 3])
    with EmbeddedServer(threads_per_queue=2, engine_threads=1, password=None) as server:
        empty = new_client(server).info("memory")["used_memory"]
        end = time.monotonic() + seconds
        attackers = [Attacker(server, seed + n, model, end) for n in range(CLIENTS)]
        for attacker in attackers:
            attacker.start()
        for attacker in attackers:
            attacker.join()
        sent = sum(attacker.sent for attacker in attackers)
        print(f"{sent} commands in {seconds:g} s, seed {seed}", flush=True)
        for attacker in attackers:
            if attacker.wrong:
                print("last commands:", *attacker.last, sep="\n  ")
                return attacker.wrong
        client = new_client(server)
        client.flushall()
        time.sleep(1)  # the server frees what it flushed in the background
        left = client.info("memory")["used_memory"] - empty
        return f"{left} bytes are left when all is deleted" if left > LEFT_BYTES else None


def main() -> int:
    """Run for the time that is asked for."""
    parser = argparse.ArgumentParser(description="Throw random commands at the embedded server.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    use_sanitized_module(leaks=False)
    try:
        wrong = fuzz(options.seconds, options.seed)
    except AibenchError as error:
        wrong = str(error)
    if wrong:
        print(f"fuzz: {wrong} (seed {options.seed})", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
