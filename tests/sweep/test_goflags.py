"""aibench's program by its own flags, in the syntax of Go's flag package."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from commandline import Cli, in_process

from aibench_fast.cli import aibench as aibench_program
from aibench_fast.errors import ConfigError
from aibench_fast.server import EmbeddedServer

PROGRAM = Path(sys.executable).with_name("aibench_run_inference_redisai_vision")
DEFAULTS: dict[str, str | bool] = {"workers": "8", "file": "", "use-dag": False, "keep": True}

# Every flag of aibench's vision program, in its newest and older versions.
ALL_FLAGS = [
    "-burn-in=10",
    "-max-queries=40",
    "-memprofile=",
    "-cpuprofile=",
    "-limit-rps=0",
    "-workers=2",
    "-print-responses=false",
    "-ignore-errors",
    "-enable-reference-data-redis=false",
    "-debug=0",
    "-seed=12345",
    "-reporting-period=1000ms",
    "-metadata-autobatching=3",
    "-host=127.0.0.1",
    "-model=null",
    "-persist-results=false",
    "-use-dag",
    "-continue-on-error=true",
    "-cluster-mode=false",
    "-pool-pipeline-window=500us",
    "-pool-pipeline-concurrency=0",
    "-dial-read-timeout=90s",
    "-batch-size=4",
    "-print-interval=0",
    "-prewarm-queries=false",
    "-repetitions=10",
    "-enable-reference-data=true",
    "-enable-reference-data-mysql=false",
    "-output-file-stats-hdr-response-latency-hist=hist.txt",
]


@pytest.mark.parametrize(
    "words",
    [
        ["-workers=4", "-use-dag"],
        ["-workers", "4", "-use-dag=true"],
        ["--workers=4", "--use-dag=T"],
        ["--workers", "4", "-keep", "-use-dag=1"],
        ["-workers=1", "-use-dag=false", "-workers=4", "-use-dag"],
    ],
)
def test_flags_are_read_as_go_reads_them(words: list[str]) -> None:
    found = aibench_program.parse_flags(words, DEFAULTS)
    assert found == {"workers": "4", "file": "", "use-dag": True, "keep": True}


def test_a_value_may_have_equals_signs_and_a_dash() -> None:
    found = aibench_program.parse_flags(["-file=a=b", "-workers", "-1", "-keep=false"], DEFAULTS)
    assert (found["file"], found["workers"], found["keep"]) == ("a=b", "-1", False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-nosuch=1"], "flag provided but not defined: -nosuch"),
        (["---workers=1"], "is not a flag"),
        (["-use-dag", "true"], "'true' is not a flag"),  # Go would stop reading flags there
        (["-workers"], "flag needs an argument: -workers"),
        (["-use-dag=yes"], "-use-dag=yes"),
        (["word"], "'word' is not a flag"),
        (["-"], "'-' is not a flag"),
    ],
)
def test_what_go_would_refuse_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        aibench_program.parse_flags(words, DEFAULTS)


@pytest.fixture
def aibench(server: EmbeddedServer, tmp_path: Path) -> Cli:
    return partial(in_process, tmp_path, f"-port={server.port}", program=aibench_program.main)


def test_every_flag_is_taken_and_means_what_it_meant(
    aibench: Cli, tensor_file: Path, tmp_path: Path
) -> None:
    done = aibench(*ALL_FLAGS, f"-file={tensor_file}", "-json-out-file=r.json")
    assert done.returncode == 0, done.stderr
    saved = json.loads((tmp_path / "r.json").read_text())
    assert (saved["Workers"], saved["TensorBatchSize"], saved["Limit"]) == (2, 4, 40)
    # aibench's burn-in counts images: 10 of them are in 3 requests of 4.
    assert (saved["BurnInRequests"], saved["Requests"]) == (3, 7)
    assert "DAGRUN" in saved["Query"]
    assert saved["MetadataAutobatching"] == 3
    assert saved["Facts"]["CommandLine"].startswith("aibench_run_inference_redisai_vision -port=")
    assert (tmp_path / "hist.txt").exists()
    # What is asked for in vain is said, what is at its default is not.
    unheard = [line.split()[1] for line in done.stderr.splitlines()]
    assert unheard == [
        "-ignore-errors=True", "-pool-pipeline-window=500us", "-repetitions=10",
        "-enable-reference-data=True",
    ]  # fmt: skip


def test_the_percentile_table_is_written_as_aibench_does(
    aibench: Cli, tensor_file: Path, tmp_path: Path
) -> None:
    assert aibench(f"-file={tensor_file}", "-model=null").returncode == 0
    assert [file.name for file in tmp_path.iterdir()] == ["stats-response-latency-hist.txt"]


def test_tensors_come_from_standard_input(
    server: EmbeddedServer, tensor_file: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [PROGRAM, f"-port={server.port}", "-model=null", "-json-out-file=r.json"],
        cwd=tmp_path, capture_output=True, check=False, input=tensor_file.read_bytes(),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    saved = json.loads((tmp_path / "r.json").read_text())
    assert (saved["Successes"], saved["Workers"]) == (7, 8)
    spooled = Path(saved["DataFile"])
    assert not spooled.exists()
    assert not spooled.parent.exists()


def test_a_cut_standard_input_is_one_line(aibench: Cli) -> None:
    for size, words in ((1000, "standard input: 1,000 bytes"), (0, "standard input")):
        done = aibench("-model=null", stdin=bytes(size))
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert words in done.stderr
        assert "/tmp" not in done.stderr


def test_a_limit_really_limits_batches_too(aibench: Cli, tensor_file: Path, tmp_path: Path) -> None:
    done = aibench(
        f"-file={tensor_file}", "-model=null", "-limit-rps=40", "-batch-size=2", "-max-queries=40",
        "-json-out-file=r.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    saved = json.loads((tmp_path / "r.json").read_text())
    assert (saved["MaxRps"], saved["Requests"]) == (40, 20)
    assert saved["MeasuredSeconds"] > 0.47


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["-v"], 0, "aibench_run_inference_redisai_vision (aibench-fast "),
        (["-h"], 0, "-pool-pipeline-window"),
        (["-foo"], 2, "flag provided but not defined: -foo"),
        (["-workers=x", "-file=f"], 2, "--workers"),
        (["-burn-in=x", "-file=f"], 2, "-burn-in"),
        (["-host=a,b", "-port=1,2,3", "-file=f"], 2, "2 hosts"),
    ],
)
def test_words_and_exit_codes(aibench: Cli, flags: list[str], code: int, words: str) -> None:
    done = aibench(*flags)
    assert done.returncode == code
    assert words in done.stdout + done.stderr
    if code:
        assert (done.stdout, done.stderr.count("\n")) == ("", 1)
