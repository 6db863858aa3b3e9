"""Real runs of the whole client with sanitized extensions, over every protocol.

Only the extensions are built with the sanitizer, not the interpreter and the servers. A finding
ends a run with the sanitizer's exit code. Leaks are searched in the driver, without Python.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fake_grpc import FakeGrpc
from fake_inference import Asked, FakeInference, binary_reply, json_reply, output, reply
from rawserver import raw_server
from token_server import DONE, Piece, delta, token_server, usage, whole

from aibench_fast.models.load import Backend, ModelSpec, load_model
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.server import EmbeddedServer

ROOT = Path(__file__).parents[2]
TSAN_SUPPRESSIONS = Path(__file__).with_name("tsan.supp")

SANITIZERS: Mapping[str, tuple[str, Sequence[str]]] = {
    "asan": ("address,undefined", ("libasan.so", "libstdc++.so.6")),
    "ubsan": ("undefined,float-divide-by-zero,float-cast-overflow", ()),
    "tsan": ("thread", ("libtsan.so",)),
}
"""By the targets of the Makefile: the compiler's flags, and the libraries to preload."""
FOUND = 66
"""The exit code of a run with a finding."""
MODEL = "m"
"""Of both servers."""
STRINGS_MODEL = "words"
TENSOR_BYTES = 602_112
TENSORS = 20
JSON_REPLY = b'HTTP/1.1 200 OK\r\nLocation: /p\r\nContent-Length: 8\r\n\r\n{"n": 1}'
TOKENS: list[Piece] = whole(delta(role="assistant"), *[delta(content="a")] * 20, usage(20), DONE)


def build(name: str) -> Path:
    """Build the extensions with a sanitizer; return the package's folder."""
    flags = f"-fsanitize={SANITIZERS[name][0]} -fno-sanitize-recover=all -fno-omit-frame-pointer"
    folder = ROOT / "build" / "runs" / name
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build", "--build-base", folder,
         "--build-lib", folder / "lib", "--build-temp", folder / "temp"],
        cwd=ROOT, check=True, env={**os.environ, "CFLAGS": flags},
    )  # fmt: skip
    return folder / "lib"


def runs(
    folder: Path, redisai: str, inference: str, grpc: str, tokens: str, endpoint: str
) -> dict[str, list[str]]:
    """Return command lines that use all native code, by their description."""
    tensors, small = folder / "tensors.out", folder / "small.out"
    tensors.write_bytes(os.urandom(TENSORS * TENSOR_BYTES))
    small.write_bytes(bytes(range(256)) * 30)
    prompts = folder / "prompts.jsonl"
    prompts.write_text('{"text": "one"}\n')
    mix = folder / "mix.toml"
    mix.write_text(
        f'[[request]]\nmodel = "{MODEL}"\nfile = "{small}"\nshape = [4]\nweight = 3\n'
        f'[[request]]\nmodel = "{MODEL}"\nshape = [4]\n'
    )
    conversations, trace = folder / "conversations.jsonl", folder / "trace.jsonl"
    turns = [
        {"session": n % 40, "text": "Go on.", "answer": "Yes.", "delay_ms": 7 * n % 50 * (n >= 40)}
        for n in range(160)
    ]
    conversations.write_text("".join(f"{json.dumps(one)}\n" for one in turns))
    recorded = [
        {"timestamp": 8 * n, "input_length": 600, "output_length": 3, "hash_ids": [n % 3, n]}
        for n in range(200)
    ]
    trace.write_text("".join(f"{json.dumps(one)}\n" for one in recorded))
    bodies, lines = folder / "bodies", folder / "lines.jsonl"
    bodies.mkdir()
    for size_bytes in (0, 1, 4096, 100_000):
        (bodies / f"{size_bytes}.bin").write_bytes(os.urandom(size_bytes))
    lines.write_bytes(b" [1] \r\n\n\n" + b"[2]" * 2000 + b"\n[3]")
    run = ["run", "--quiet", "--duration", "1s", "--burn-in", "5", "--reporting-period", "200ms",
           "--json-out-file", "result.json", "--workers", "5", "--threads", "2",
           "--hdr-log-file", "run.hlog"]  # fmt: skip
    over_resp, over_http = [*run, "--port", redisai], [*run, "--url", inference]
    over_grpc = [*run, "--url", grpc]
    prompted = [*run, "--url", f"{tokens}/v1/completions", "--prompts", str(prompts)]
    chats = [*run, "--url", f"{tokens}/v1/chat/completions"]
    named = ["--model", MODEL]
    whole = [*named, "--file", str(tensors)]
    return {
        "tensors of photographs": [
            "prepare", "--input", "sample", "--limit", "4", "--quiet",
            "--output", str(folder / "prepared.out"),
        ],
        "RESP, pipelined": [*over_resp, *whole, "--pipeline", "3"],
        "RESP, DAGs by a schedule": [*over_resp, *whole, "--use-dag", "--limit-rps", "300"],
        "RESP, two servers": [*run, "--port", f"{redisai},{redisai}", *whole],
        "RESP, a mix": [*over_resp, "--mix", str(mix)],
        "HTTP": [*over_http, *named, "--file", str(small)],
        "HTTP, JSON by a schedule": [
            *over_http, *named, "--encoding", "json", "--limit-rps", "200"
        ],
        "HTTP, a mix": [*over_http, "--mix", str(mix)],
        "RESP, strings": [*over_resp, *named, "--input", "text:STRING:2", "--batch-size", "3"],
        "HTTP, strings": [*over_http, "--model", STRINGS_MODEL, "--batch-size", "3"],
        "HTTP, strings in JSON": [*over_http, "--model", STRINGS_MODEL, "--encoding", "json"],
        "gRPC": [*over_grpc, *named, "--file", str(small)],
        "gRPC, streams of a mix": [*over_grpc, "--mix", str(mix), "--pipeline", "4"],
        "streams of tokens": [*prompted, *named, "--token-timeout", "5s"],
        "streams of tokens by a schedule": [*prompted, *named, "--limit-rps", "100"],
        "streams of tokens of conversations": [*chats, *named, "--prompts", str(conversations)],
        "streams of tokens of a trace": [*chats, *named, "--trace", str(trace)],
        "bodies of a folder": [
            *run, "--url", endpoint, "--body", str(bodies), "--reply", "json", "--seed", "3"
        ],
        "bodies of lines by a schedule": [
            *run, "--url", endpoint, "--body", str(lines), "--limit-rps", "300"
        ],
        "gRPC by a schedule": [*over_grpc, *named, "--file", str(small), "--limit-rps", "200"],
    }  # fmt: skip


STRINGS_PATHS: dict[str, bytes | Callable[[Asked], bytes]] = {
    f"/v2/models/{STRINGS_MODEL}": json_reply(
        {
            "name": STRINGS_MODEL,
            "inputs": [output((-1, 1), "BYTES", "x")],
            "outputs": [output((-1, 1), "BYTES", "y")],
        }
    ),
    f"/v2/models/{STRINGS_MODEL}/ready": reply(b""),
    f"/v2/models/{STRINGS_MODEL}/infer": lambda asked: echoed(asked),
}
"""Of the model with strings."""


def echoed(asked: Asked) -> bytes:
    """Return the strings that were sent, in the same encoding."""
    (one,) = asked.document["inputs"]
    told = output(tuple(one["shape"]), "BYTES")
    if asked.tensors:
        return binary_reply(asked.tensors, told)
    return json_reply({"model_name": "m", "outputs": [{**told, "data": one["data"]}]})


def answer(asked: Asked, _: int) -> bytes:
    """Reply in the encoding of the request."""
    if asked.tensors:
        return binary_reply()
    outputs = [{**output(), "data": [n / 7 for n in range(1001)]}]
    return json_reply({"model_name": "m", "model_version": "1", "outputs": outputs})


def library(name: str) -> str:
    found = subprocess.run(
        [os.environ.get("CC", "cc"), f"-print-file-name={name}"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return str(Path(found.stdout.strip()).resolve())


def main() -> int:
    """Build with the named sanitizer and do all runs; return 1 if one failed."""
    (name,) = sys.argv[1:]
    package = build(name)
    environment = {
        **os.environ,
        "PYTHONPATH": str(package),
        "PYTHONMALLOC": "malloc",
        "LD_PRELOAD": " ".join(map(library, SANITIZERS[name][1])),
        "ASAN_OPTIONS": f"detect_leaks=0:exitcode={FOUND}",
        "UBSAN_OPTIONS": f"print_stacktrace=1:exitcode={FOUND}",
        "TSAN_OPTIONS": f"exitcode={FOUND}:suppressions={TSAN_SUPPRESSIONS}",
    }
    failed = 0
    with (
        tempfile.TemporaryDirectory(prefix="aibench-runs-") as folder,
        EmbeddedServer(password=None) as server,
        FakeInference(infer=answer, paths={**STRINGS_PATHS}) as inference,
        FakeGrpc() as grpc,
        token_server(lambda _: TOKENS) as tokens,
        raw_server(lambda *_: JSON_REPLY) as endpoint,
    ):
        with Connection(server.address) as connection:
            load_model(connection, ModelSpec(name=MODEL, backend=Backend.NULL))
        url = f"http://127.0.0.1:{inference.port}"
        port = str(server.address.port)
        urls = url, grpc.url, tokens.address, f"{endpoint.address}/p"
        for told, words in runs(Path(folder), port, *urls).items():
            done = subprocess.run(
                [sys.executable, "-m", "aibench_fast", *words],
                cwd=folder, env=environment, capture_output=True, text=True, check=False,
                timeout=120,
            )  # fmt: skip
            print(f"{name}: {told}: {'well' if done.returncode == 0 else 'FAILED'}", flush=True)
            if done.returncode:
                print(done.stdout[-2000:], done.stderr[-8000:], sep="\n", file=sys.stderr)
                failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
