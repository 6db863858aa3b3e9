"""The readers of input from people, files and servers, each fed with bytes of any kind.

A target takes bytes and returns nothing. It fails, with whatever was raised, unless the bytes gave
a value or an error of one line.
"""

import base64
import copy
import io
import json
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import test_requests
from PIL import Image

from aibench_fast.cli.aibench import parse_flags
from aibench_fast.cli.commands import sweep
from aibench_fast.cli.commands.fetch import name_in
from aibench_fast.cli.options.gridfile import read_grid_file, swept_servers
from aibench_fast.cli.options.parser import Parser
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.load.arrivals import read_arrivals
from aibench_fast.load.kinds import read_input, read_mix
from aibench_fast.load.profile import parse_profile
from aibench_fast.protocols.address import grpc_address, http_address
from aibench_fast.protocols.openinference.client import Wanted
from aibench_fast.protocols.openinference.grpc import infer as grpc_infer
from aibench_fast.protocols.openinference.grpc import messages, wire
from aibench_fast.protocols.openinference.grpc.infer import header_fields
from aibench_fast.protocols.openinference.http.exchange import Reply
from aibench_fast.protocols.openinference.http.infer import JSON_LENGTH, plan_of
from aibench_fast.protocols.session import AskedKind
from aibench_fast.results.details import read_details
from aibench_fast.results.files import read_record
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.studies.thresholds import parse_expectation
from aibench_fast.tensors.images import PixelBudget, load_scaled, to_tensor
from aibench_fast.units import duration_s, size_bytes

GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "results").glob("*.json"))
SIDE = 8
KIND = AskedKind("m", [])
V2_COMPRESSED = 0x1C849304
FLAGS: dict[str, str | bool] = {"file": "", "workers": "8", "use-dag": False}
DEEP = 50_000
CHANGES_MAX = 8
ODD_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, -0.5, 10**400, math.nan, math.inf, "", "x", "1\n2", "\x1b[2J", [], {},
    [[]], {"": 0}, "9" * 5000, [None], {"q50": "x"}, -(2**63), 2**64,
)  # fmt: skip


sweep_parser = Parser()
sweep.add_options(sweep_parser)


class Target(NamedTuple):
    """A reader, and inputs from which others are made."""

    read: Callable[[bytes], None]
    seeds: Sequence[bytes]


@contextmanager
def one_line(*kinds: type[Exception]) -> Iterator[None]:
    """Let errors of these kinds pass that are one line; AssertionError where they are more."""
    try:
        yield
    except kinds as error:
        assert str(error).isprintable(), f"{error!r} is more than a line"


@contextmanager
def in_a_file(data: bytes) -> Iterator[Path]:
    with TemporaryDirectory(prefix="aibench-fuzz-") as folder:
        file = Path(folder) / "given"
        file.write_bytes(data)
        yield file


def durations(data: bytes) -> None:
    words = data.decode(errors="surrogateescape")
    with suppress(ValueError):
        assert 0 <= duration_s(words) < math.inf
    with suppress(ValueError):
        assert size_bytes(words) >= 0


def words(data: bytes) -> None:
    """The small languages of options."""
    typed = data.decode(errors="surrogateescape")
    for parse in (parse_profile, parse_expectation, read_input):
        with one_line(ConfigError):
            parse(typed)


def urls(data: bytes) -> None:
    typed = data.decode(errors="surrogateescape")
    for read in (http_address, grpc_address, name_in):
        with one_line(ConfigError):
            assert read(typed)


def metadata(data: bytes) -> None:
    """Headers of gRPC: what is taken can be sent."""
    pairs = [line.partition(":") for line in data.decode(errors="surrogateescape").split("\n")]
    with one_line(ConfigError):
        address = grpc_address("grpc://h:1", [(name, value) for name, _, value in pairs])
        sent = header_fields(address, "ModelInfer")
        assert len(sent) == 4 + int.from_bytes(sent[:4], "little")


def go_flags(data: bytes) -> None:
    with one_line(ConfigError):
        found = parse_flags(data.decode(errors="surrogateescape").split("\n"), FLAGS)
        assert found.keys() == FLAGS.keys()


def mix(data: bytes) -> None:
    with in_a_file(data) as file, one_line(ConfigError):
        for kind in read_mix(file):
            assert kind.request_bytes > 0


def grid(data: bytes) -> None:
    with in_a_file(data) as file, one_line(ConfigError):
        _, tables = read_grid_file(file, sweep_parser)
        swept_servers(sweep_parser.parse_args([f"--grid={file}"]), tables)


def arrivals(data: bytes) -> None:
    with in_a_file(data) as file, one_line(ConfigError):
        offsets = read_arrivals(file)
        assert list(offsets) == sorted(offsets)


def result_bytes(data: bytes) -> None:
    with in_a_file(data) as file:
        read_result(file)


def result_values(data: bytes) -> None:
    """A whole result, some values replaced: of three bytes two say which, and one by what."""
    document = json.loads(GOLDEN[data[0] % len(GOLDEN)].read_bytes()) if data else {}
    for at in range(1, min(len(data) - 2, 3 * CHANGES_MAX), 3):
        places = list(places_of(document))
        holder, key = places[int.from_bytes(data[at : at + 2], "big") % len(places)]
        # A copy: what is put in may be changed by what follows, and would else come to hold itself.
        holder[key] = copy.deepcopy(ODD_VALUES[data[at + 2] % len(ODD_VALUES)])
    with in_a_file(json.dumps(document).encode()) as file:
        read_result(file)


def places_of(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place that a value of a document is in, outer ones first."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places_of(inner)


def read_result(file: Path) -> None:
    with one_line(ConfigError):
        record = read_record(file)
        assert record.inferences_per_s > 0
        assert record.row().keys()
        assert record.setup.keys()
        assert str(record.cell)
        record.latencies().quantiles_ms([0.5, 1.0])
    with one_line(ConfigError):
        read_details(file)


def histogram(data: bytes) -> None:
    """HdrHistogram's form: its payload, with the frame and the compression put around it."""
    packed = zlib.compress(data)
    framed = base64.b64encode(struct.pack(">II", V2_COMPRESSED, len(packed)) + packed)
    for encoded in (framed.decode(), data.decode(errors="surrogateescape")):
        with one_line(ConfigError):
            read = LatencyHistogram.decode(encoded)
            assert read.count >= 0
            read.quantiles_ms([0.0, 0.5, 1.0])


def image(data: bytes) -> None:
    with one_line(ConfigError):
        picture = load_scaled(data, SIDE, PixelBudget())
        assert to_tensor(picture, "nhwc", "0..1").max() <= 1


def trial_reply(data: bytes) -> None:
    """A server's first reply to an inference request: status, length of the JSON, and the body."""
    if len(data) < 3:
        return
    headers = {JSON_LENGTH.lower(): str(data[1])} if data[1] else {}
    reply = Reply((200, 302, 404, 500)[data[0] % 4], headers, data[2:])
    with one_line(ConfigError, ServerError):
        plan_of("http://127.0.0.1:8000/v2/models/m/infer", reply, Wanted(KIND, metadata=()))


def grpc_messages(data: bytes) -> None:
    """The answers of gRPC's methods before and after a run, and the reply to a trial."""
    for message in (
        messages.READY, messages.SERVER, messages.MODEL_METADATA, messages.INDEX,
        messages.STATISTICS, messages.REGIONS,
    ):  # fmt: skip
        with one_line(ValueError):
            wire.decode(message, data)
    with one_line(ConfigError, ServerError):
        grpc_infer.plan_of(data, Wanted(KIND))


def request(data: bytes) -> None:
    for test in (
        test_requests.test_a_request_over_http_is_read_back,
        test_requests.test_a_request_over_resp_is_read_back,
    ):
        test.hypothesis.fuzz_one_input(data)


def pictures() -> Iterator[bytes]:
    """A small picture of each kind."""
    for form, mode in (
        ("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("PNG", "P"), ("WEBP", "RGB"),
        ("TIFF", "I;16"), ("BMP", "1"), ("GIF", "P"), ("PPM", "L"),
    ):  # fmt: skip
        data = io.BytesIO()
        Image.new(mode, (12, 10)).save(data, form)
        yield data.getvalue()


def encoded_histograms() -> Iterator[bytes]:
    """The payloads of the histograms of results, and their whole forms."""
    for file in GOLDEN:
        encoded = json.loads(file.read_bytes())["OverallQuantiles"].get("EncodedHistogram")
        if encoded and encoded.startswith("HISTF"):
            yield encoded.encode()
            yield zlib.decompress(base64.b64decode(encoded)[8:])


TRIAL_REPLY = (
    b'{"id":"1","model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[1,2],'
    b'"data":[1,2]}]}'
)
GRPC_REPLY = wire.encode(
    messages.INFER_RESPONSE,
    {
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [1, 2]},
            {
                "name": "z",
                "datatype": "BYTES",
                "shape": [1],
                "contents": {"bytes_contents": [b"a"]},
            },
        ],
        "raw_output_contents": [bytes(8), b"\1\0\0\0a"],
    },
)

TARGETS = {
    "durations": Target(durations, [b"1m30s", b"1000ms", b"0", b".5h", b"512MiB"]),
    "words": Target(
        words,
        [b"10/s for 30s, 20/s to 80/s over 1m", b"p99<50ms", b"errors<0.1%", b"rate>200",
         b"ids:INT64:128=ids.bin"],
    ),
    "urls": Target(
        urls, [b"http://127.0.0.1:8000/a", b"https://[::1]/a%20b?c#d", b"grpcs://h:1"]
    ),
    "metadata": Target(metadata, [b"Authorization: Bearer x\na-bin:AAECAw==\nhost:h"]),
    "go-flags": Target(go_flags, [b"-file=a\n--workers\n8\n-use-dag=true", b"-file\nx"]),
    "mix": Target(
        mix,
        [b"a = " + b"[" * DEEP,
         b'[[request]]\nmodel = "m"\nshape = [3, 4]\ndtype = "INT8"\nbatch-size = 2\n',
         b'[[request]]\nmodel = "m"\ninputs = [{name = "a", file = "f"}, {shape = [1]}]\n'],
    ),
    "grid": Target(
        grid,
        [b"a = " + b"[" * DEEP,
         b"workers = [1, 8]\nruns = 2\nshuffle = 3\nuse-dag = true\n",
         b'[[server]]\nname = "a"\nurl = "http://127.0.0.1:1"\n[[server]]\nname = "b"\nport = 1\n'],
    ),
    "arrivals": Target(arrivals, [b"# seconds\n0.0\n0.5\n1e1\n"]),
    "result-bytes": Target(result_bytes, [b"[" * DEEP, *(file.read_bytes() for file in GOLDEN)]),
    "result-values": Target(result_values, [bytes([n, 0, 5, 4]) for n in range(len(GOLDEN))]),
    "histogram": Target(histogram, [*encoded_histograms()]),
    "image": Target(image, [*pictures()]),
    "trial-reply": Target(
        trial_reply,
        [b"\0\0" + b"[" * DEEP, b"\0\0" + TRIAL_REPLY,
         b"\0" + bytes([len(TRIAL_REPLY)]) + TRIAL_REPLY + bytes(8)],
    ),
    "grpc-messages": Target(grpc_messages, [GRPC_REPLY, b"\x0a\x03abc\x18\x01"]),
    "request": Target(request, [bytes(400)]),
}  # fmt: skip
